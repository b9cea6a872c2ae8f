import urllib.request
from collections.abc import Iterator

import pytest

from lab.process import free_port
from tests.integration.operator.place import Place, eventually
from tests.otlp_sink import Sink

DEADLINE_S = 30
NOTIFYING = {"sink notifications", "deliveries", "deliveries that failed", "tests of channels"}


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as started:
        yield started


def exporting(place: Place, sink: Sink) -> None:
    place.operator(
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.otlp_http, OTEL_BSP_SCHEDULE_DELAY="100", OTEL_METRIC_EXPORT_INTERVAL="500"
    )


def spans(sink: Sink, name: str) -> list:
    return [item for item in sink.spans if item.message.name == name]


def test_one_trace_leads_from_an_edit_to_what_agents_apply(place: Place, sink: Sink):
    exporting(place, sink)
    key = place.policy()
    thresholds = eventually(lambda: place.thresholds(key), what="the ThresholdSet")
    sink.wait(lambda sink: spans(sink, "reconcile MonitorPolicy"), DEADLINE_S)
    (span,) = spans(sink, "reconcile MonitorPolicy")
    _, trace, parent, _ = thresholds["spec"]["traceparent"].split("-")
    assert span.message.trace_id.hex() == trace
    assert span.message.span_id.hex() == parent
    assert not span.message.parent_span_id
    assert span.attributes["virtwatch.thresholds.hash"] == thresholds["spec"]["hash"]
    assert span.resource["service.name"] == "virtwatch-operator"


def test_events_and_acknowledgement_are_children_of_the_transition(place: Place, sink: Sink):
    exporting(place, sink)
    key = place.policy()
    agent = place.agent()
    first, second = agent.happen(key), agent.happen(key)
    agent.publish()
    eventually(agent.hear, what="the acknowledgement")
    sink.wait(lambda sink: len(spans(sink, "announce")) == 2, DEADLINE_S)
    for transition in (first, second):
        _, trace, parent, _ = transition.traceparent.split("-")
        (announce,) = [item for item in spans(sink, "announce") if item.message.trace_id.hex() == trace]
        assert announce.message.parent_span_id.hex() == parent
        children = [item for item in sink.spans if item.message.parent_span_id == announce.message.span_id]
        assert [item.message.name for item in children] == ["event", "event", "acknowledge"]
        assert [item.attributes["virtwatch.event.outcome"] for item in children[:2]] == ["created", "created"]
        assert {item.attributes["k8s.event.name"] for item in children[:2]} < {
            item["metadata"]["name"] for item in place.events()
        }


def test_the_operator_measures_itself(place: Place, sink: Sink):
    exporting(place, sink)
    key = place.policy()
    agent = place.agent()
    agent.happen(key)
    agent.publish()
    expected = {
        "virtwatch.operator.events",
        "virtwatch.operator.announce.delay",
        "virtwatch.operator.queue.waiting",
        "virtwatch.operator.queue.worked",
        "virtwatch.operator.queue.failed",
        "virtwatch.operator.api.requests",
    }
    sink.wait(lambda sink: expected <= {item.message.name for item in sink.metrics}, DEADLINE_S)
    worked = [item for item in sink.metrics if item.message.name == "virtwatch.operator.queue.worked"]
    queues = {point.attributes[0].value.string_value for item in worked for point in item.message.sum.data_points}
    assert queues == {
        "policies",
        "channels",
        "nodes",
        "announce",
        "statuses",
        "sink events",
        "sink patterns",
        *NOTIFYING,
    }


def test_prometheus_may_scrape_the_operator(place: Place):
    port = free_port()
    place.operator(VIRTWATCH_METRICS_PORT=str(port))
    key = place.policy()
    agent = place.agent()
    agent.happen(key)
    agent.publish()
    eventually(agent.hear, what="the acknowledgement")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    assert 'virtwatch_operator_events_total{outcome="created"} 2.0' in lines
    assert any(line.startswith('virtwatch_operator_api_requests_total{result="201",verb="POST"}') for line in lines)
    assert 'virtwatch_operator_announce_delay_seconds_count{sink="events"} 1.0' in lines
    assert any(line.startswith('virtwatch_operator_queue_waiting{queue="sink events"}') for line in lines)
    assert any(line.startswith("process_resident_memory_bytes") for line in lines)
