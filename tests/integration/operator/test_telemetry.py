import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab.process import free_port
from tests.integration.operator.place import Place, eventually
from tests.integration.operator.test_patterns import crash, in_force, together, two_nodes
from tests.otlp_sink import Sink
from virtwatch_telemetry.names import HashedNames

DEADLINE_S = 90
HASH_KEY = "0123456789abcdef"
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


def test_a_storms_event_is_in_the_trace_of_each_transition(place: Place, sink: Sink):
    exporting(place, sink)
    key = place.policy()
    agent = place.agent()
    for number in range(8):
        agent.subject = place.vmi(f"web-{number}", agent.node)
        agent.happen(key)
    agent.publish()
    eventually(agent.hear, what="the acknowledgement")
    sink.wait(lambda sink: len(spans(sink, "event")) == 8, DEADLINE_S)
    (storm,) = place.events()
    told = {(item.message.trace_id.hex(), item.attributes["k8s.event.name"]) for item in spans(sink, "event")}
    assert told == {(item.traceparent.split("-")[1], storm["metadata"]["name"]) for item in agent.journal}


def test_what_a_pattern_makes_of_events_goes_on_in_the_last_ones_trace(place: Place, sink: Sink):
    exporting(place, sink)
    key = in_force(place, together(within="10m"))
    first, second = two_nodes(place)
    crash(key, first)
    crash(key, second)
    (event,) = eventually(place.events, what="the Event")
    _, trace, parent, _ = second[0].journal[-1].traceparent.split("-")
    assert f"Trace {trace}." in event["note"]
    sink.wait(lambda sink: len(spans(sink, "count")) == 2 and spans(sink, "event"), DEADLINE_S)
    # It ends, and so is exported, after what it is the parent of.
    sink.wait(lambda sink: len(spans(sink, "announce")) == 2, DEADLINE_S)
    (announce,) = [item for item in spans(sink, "announce") if item.message.parent_span_id.hex() == parent]
    (count,) = [item for item in spans(sink, "count") if item.message.trace_id.hex() == trace]
    assert count.message.parent_span_id == announce.message.span_id
    assert {item.message.parent_span_id for item in spans(sink, "event")} == {count.message.span_id}


def test_no_name_leaves_in_clear_where_names_leave_hashed(place: Place, sink: Sink):
    place.operator(
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.otlp_http,
        OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_METRIC_EXPORT_INTERVAL="500",
        VIRTWATCH_EXPORT_HASH_KEY=HASH_KEY,
    )
    key = place.policy()
    agent = place.agent()
    agent.subject = place.vmi("payroll", agent.node)
    agent.happen(key)
    # The operator doubts it, in a sentence that names the VM.
    agent.subject = replace(place.vmi("ledger", agent.node), namespace="elsewhere")
    agent.happen(key)
    agent.publish()
    eventually(agent.hear, what="the acknowledgement")
    sink.wait(
        lambda sink: len(spans(sink, "announce")) == 2 and spans(sink, "reconcile MonitorPolicy") and sink.metrics,
        DEADLINE_S,
    )

    reconciled = spans(sink, "reconcile MonitorPolicy")[0]
    assert reconciled.attributes["virtwatch.policy"] == f"{HashedNames(HASH_KEY).of(place.name)}/{key.name}"
    for item in (*sink.spans, *sink.metrics):
        for name in (place.name + "/", "payroll", "ledger", "elsewhere"):
            assert name not in str(item.message), item.message.name


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
