from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.unit.agent.report.statuses import status, transition
from virtwatch_agent.kubernetes.spans import ReportSpans

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def spans(exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return ReportSpans(provider.get_tracer("test"), node="n1")


def report(spans, *statuses):
    for one in statuses:
        spans.published(one)
        spans.wrote(one)


def test_a_written_transition_is_a_child_of_its_own_trace(spans, exporter):
    report(spans, status(transitions=[transition(7, traceparent=TRACEPARENT)]))
    (span,) = exporter.get_finished_spans()
    assert span.name == "virtwatch.report"
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert dict(span.attributes) == {"k8s.node.name": "n1", "virtwatch.transition.sequence": 7}


def test_a_transition_that_is_written_again_has_no_second_span(spans, exporter):
    one = status(transitions=[transition(1, traceparent=TRACEPARENT)])
    report(spans, one, one, replace(one, virtual_machines=9))
    assert len(exporter.get_finished_spans()) == 1


def test_a_span_lasts_from_the_first_publication_to_the_write(spans, exporter):
    one = status(transitions=[transition(1, traceparent=TRACEPARENT)])
    two = status(transitions=[*one.transitions, transition(2, traceparent=TRACEPARENT)])
    spans.published(one)
    spans.published(two)
    spans.wrote(two)
    first, second = exporter.get_finished_spans()
    assert first.start_time <= second.start_time
    assert first.end_time == second.end_time >= second.start_time


def test_a_transition_without_a_trace_has_no_span(spans, exporter):
    report(spans, status(transitions=[transition(1)]))
    assert exporter.get_finished_spans() == ()


def test_a_new_epoch_counts_from_its_own_beginning(spans, exporter):
    report(
        spans,
        status(epoch="a", transitions=[transition(5, traceparent=TRACEPARENT)]),
        status(epoch="b", transitions=[transition(1, traceparent=TRACEPARENT)]),
    )
    assert len(exporter.get_finished_spans()) == 2
