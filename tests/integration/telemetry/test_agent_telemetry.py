"""What the agent exports, read from the wire by a real OTLP receiver."""

import logging
import os
import socket
import threading
import time
from dataclasses import replace

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.otlp_sink import Answer, Sink, attributes
from virtwatch_agent.observations import Sample, TargetEvent
from virtwatch_agent.telemetry import AgentTelemetry
from virtwatch_api.alert import Action, AlertKey, Reason
from virtwatch_api.catalogue.readings import Instrument, Source
from virtwatch_api.nodemonitor import Evidence, Transition
from virtwatch_api.policy import Collection, Enforcement, PolicyKey, PolicyKind, Severity, Target
from virtwatch_api.targets import Subject, node_ref, vm_ref
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.inputs import Point
from virtwatch_telemetry import set_up

DEADLINE = 60.0
TIMEOUT_S = 30  # of one request, for a busy machine
NODE = "node-1"
POLICY_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03"
POLICY = PolicyKey(PolicyKind.MONITOR_POLICY, "web-tier", "shop")
THRESHOLDS = ThresholdSet(
    POLICY, "uid-1", 3, 0.0, "abc", Enforcement.ENFORCE, True, Target(), ("shop",), Collection(), (), POLICY_TRACE
)


class _Clock:
    def time(self):
        return time.time()

    def monotonic(self):
        return time.monotonic()


@pytest.fixture
def sink():
    with Sink() as started:
        yield started


@pytest.fixture
def connect(sink, monkeypatch, patient_exports):
    """Return telemetry that exports to the sink, or wherever the given variables say."""
    opened = []

    def make(**env):
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.otlp_http,
            "OTEL_EXPORTER_OTLP_TIMEOUT": str(TIMEOUT_S),
            "OTEL_METRIC_EXPORT_INTERVAL": "50",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_BLRP_SCHEDULE_DELAY": "50",
        } | env
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        providers = set_up("virtwatch-agent", resource_attributes={"service.instance.id": NODE}, env=os.environ)
        opened.append(providers)
        return AgentTelemetry(providers, _Clock()), providers

    yield make
    for providers in opened:
        providers.shutdown(1.0)


def _subject(number):
    return Subject(
        f"shop_web-{number}",
        vm_ref(f"3f1c0f5e-0000-4000-8000-00000000000{number}"),
        NODE,
        "shop",
        f"web-{number}",
        f"v{number}",
    )


def _sample(subject, values, *, at, incarnation="first", source=Source.KERNEL):
    return Sample(subject.target, source, incarnation, at - 0.02, at, at, values)


def _leave(telemetry, subject, values, **more):
    telemetry.sample(subject, _sample(subject, values, **more), pod_uid="pod-uid")


def _points(sink, uuid, name):
    return [
        point
        for item in sink.metrics
        if item.resource.get("libvirt.domain.uuid") == uuid and item.message.name == name
        for point in (item.message.sum if item.message.HasField("sum") else item.message.gauge).data_points
    ]


def _transition(telemetry, subject, **more):
    return Transition(
        sequence=7,
        alert=AlertKey(POLICY, "cpu-starved", subject.target),
        action=Action.FIRED,
        reason=Reason.BREACH,
        severity=Severity.CRITICAL,
        previous=None,
        at=103.0,
        since=100.0,
        subject=subject,
        evidence=Evidence("vm.cpu.delay.ratio", 0.2, 0.1, "20 % of the time"),
        traceparent=telemetry.transition_context(),
        **more,
    )


def test_each_vm_is_one_resource_with_the_names_that_a_reader_looks_for(sink, connect):
    telemetry, _ = connect()
    for number in (1, 2):
        _leave(telemetry, _subject(number), {("cpu.time", "0"): 1.5, ("memory.rss", ""): 3e8}, at=100.0)
    sink.wait(
        lambda it: len({item.resource.get("kubevirt.vm.name") for item in it.metrics} & {"web-1", "web-2"}) == 2,
        DEADLINE,
    )
    metric = next(item for item in sink.metrics if item.resource.get("kubevirt.vm.name") == "web-2")
    assert metric.resource == {
        "service.name": "virtwatch-agent",
        "service.instance.id": _subject(2).target.id,
        "libvirt.domain.uuid": _subject(2).target.id,
        "libvirt.domain.name": "shop_web-2",
        "k8s.namespace.name": "shop",
        "kubevirt.vm.name": "web-2",
        "kubevirt.vmi.uid": "v2",
        "k8s.pod.uid": "pod-uid",
        "k8s.node.name": NODE,
    }
    (point,) = _points(sink, _subject(2).target.id, "libvirt.domain.vcpu.time")
    assert (point.as_double, attributes(point.attributes)) == (1.5, {"libvirt.vcpu.id": "0"})


def test_a_sample_is_sent_once_and_the_last_one_of_an_interval_wins(sink, connect):
    telemetry, providers = connect(OTEL_METRIC_EXPORT_INTERVAL="3600000")
    subject = _subject(1)
    for value in (1.0, 2.0, 3.0):
        _leave(telemetry, subject, {("cpu.time", "0"): value}, at=100.0 + value)
    providers.shutdown(TIMEOUT_S)
    assert [point.as_double for point in _points(sink, subject.target.id, "libvirt.domain.vcpu.time")] == [3.0]


def test_derived_signals_arrive_beside_the_readings_and_end_with_the_vm(sink, connect):
    telemetry, _ = connect()
    subject = _subject(1)
    name = "libvirt.domain.cpu.worst.utilization"
    _leave(telemetry, subject, {("cpu.time", "0"): 1.0}, at=100.0)
    sink.wait(lambda it: _points(it, subject.target.id, "libvirt.domain.vcpu.time"), DEADLINE)
    _leave(telemetry, subject, {("cpu.time", "0"): 6.0}, at=110.0)
    sink.wait(lambda it: _points(it, subject.target.id, name), DEADLINE)
    telemetry.forget(subject.target)
    sink.wait(lambda it: len(_points(it, subject.target.id, name)) == 2, DEADLINE)
    told, end = _points(sink, subject.target.id, name)
    assert (told.as_double, told.flags, end.flags) == (0.5, 0, 1)


def _summaries(sink, name):
    found = [item.message.exponential_histogram for item in sink.metrics if item.message.name == name]
    return [point for histogram in found for point in histogram.data_points]


def test_a_peak_between_two_exports_arrives(sink, connect):
    telemetry, providers = connect(OTEL_METRIC_EXPORT_INTERVAL="3600000")
    subject, signal = _subject(1), "vm.cpu.utilization"
    assert signal in telemetry.choose(subject.target, frozenset())
    for at, value in enumerate((0.1, 1.0, 0.1), start=100):
        points = [Point(signal, "", value), Point("vm.memory.rss", "", 5.0)]
        telemetry.sample(subject, _sample(subject, {("cpu.time", "0"): 1.0}, at=at), points=points)
    providers.shutdown(TIMEOUT_S)
    (point,) = _summaries(sink, "libvirt.domain.cpu.utilization")
    assert (point.count, round(point.sum, 9)) == (3, 1.2)
    assert (point.start_time_unix_nano, point.time_unix_nano) == (100 * 10**9, 102 * 10**9)
    highest = point.positive.offset + len(point.positive.bucket_counts)
    assert 2 ** (2**-point.scale * highest) == 1.0


def test_a_policy_chooses_how_signals_are_exported(sink, connect):
    telemetry, providers = connect(OTEL_METRIC_EXPORT_INTERVAL="3600000")
    subject = _subject(1)
    chosen = {"vm.memory.rss": Instrument.SUMMARY, "vm.cpu.utilization": Instrument.GAUGE}
    assert "vm.memory.rss" in telemetry.choose(subject.target, frozenset(chosen.items()))
    for at, value in enumerate((5e6, 9e6), start=100):
        points = [Point("vm.memory.rss", "", value), Point("vm.cpu.utilization", "", 0.5)]
        telemetry.sample(subject, _sample(subject, {("memory.rss", ""): value}, at=at), points=points)
    providers.shutdown(TIMEOUT_S)
    (point,) = _summaries(sink, "libvirt.domain.memory.rss.distribution")
    assert (point.count, point.sum) == (2, 14e6)
    assert _points(sink, subject.target.id, "libvirt.domain.memory.rss")[0].as_double == 9e6
    assert _summaries(sink, "libvirt.domain.cpu.utilization") == []


def test_a_policy_bounds_the_series_of_its_targets_and_the_cut_is_counted(sink, connect):
    telemetry, _ = connect()
    bounded, other = _subject(1), _subject(2)
    telemetry.choose(bounded.target, frozenset(), series=2)
    counted = [Point("vm.cpu.utilization", "", 0.5)]
    values = {("memory.rss", ""): 5.0, **{("cpu.time", str(number)): 1.0 for number in range(4)}}
    for subject in (bounded, other):
        telemetry.sample(subject, _sample(subject, values, at=100.0), points=counted)
    sink.wait(lambda it: _points(it, other.target.id, "libvirt.domain.vcpu.time"), DEADLINE)
    sink.wait(lambda _: telemetry.cut == {bounded.target: 4}, DEADLINE)  # three vCPUs, and the summary
    assert len(_points(sink, bounded.target.id, "libvirt.domain.memory.rss")) == 1
    assert len(_points(sink, bounded.target.id, "libvirt.domain.vcpu.time")) == 1
    assert len(_points(sink, other.target.id, "libvirt.domain.vcpu.time")) == 4
    assert len(_summaries(sink, "libvirt.domain.cpu.utilization")) == 1
    assert telemetry.problem == "", "what a policy wants is no trouble"
    sink.wait(lambda it: any(one.message.name == "virtwatch.agent.export.series.cut" for one in it.metrics), DEADLINE)

    telemetry.choose(bounded.target, frozenset())
    telemetry.sample(bounded, _sample(bounded, values, at=101.0), points=counted)
    sink.wait(lambda _: telemetry.cut == {}, DEADLINE)


def test_a_new_choice_ends_the_series_of_the_old_one(sink, connect):
    telemetry, _ = connect()
    subject, name = _subject(1), "libvirt.domain.cpu.utilization"
    counted = [Point("vm.cpu.utilization", "", 0.5)]
    telemetry.sample(subject, _sample(subject, {("cpu.time", "0"): 1.0}, at=100.0), points=counted)
    sink.wait(lambda _: _summaries(sink, name), DEADLINE)
    telemetry.choose(subject.target, frozenset({("vm.cpu.utilization", Instrument.GAUGE)}))
    for at in (101.0, 102.0):
        telemetry.sample(subject, _sample(subject, {("cpu.time", "0"): at / 2}, at=at), points=counted)
        sink.wait(lambda it: _told_at(it, subject, at), DEADLINE)  # noqa: B023
    assert _summaries(sink, name)[-1].flags == 1
    assert _points(sink, subject.target.id, name)[-1].as_double == 0.5


def _told_at(sink, subject, at):
    points = _points(sink, subject.target.id, "libvirt.domain.vcpu.time")
    return any(not point.flags and point.time_unix_nano == at * 10**9 for point in points)


def test_a_backend_without_exponential_histograms_gets_gauges(sink, connect):
    telemetry, _ = connect(OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="explicit_bucket_histogram")
    subject, name = _subject(1), "libvirt.domain.cpu.utilization"
    assert telemetry.choose(subject.target, frozenset()) == frozenset()
    _leave(telemetry, subject, {("cpu.time", "0"): 1.0}, at=100.0)
    sink.wait(lambda it: _points(it, subject.target.id, "libvirt.domain.vcpu.time"), DEADLINE)
    _leave(telemetry, subject, {("cpu.time", "0"): 6.0}, at=110.0)
    sink.wait(lambda it: _points(it, subject.target.id, name), DEADLINE)
    assert _points(sink, subject.target.id, name)[0].as_double == 0.5
    assert _summaries(sink, name) == []


def test_the_nodes_figures_are_a_resource_of_their_own(sink, connect):
    telemetry, _ = connect()
    values = {("node.memory.available", ""): 25.0, ("node.memory.total", ""): 100.0}
    telemetry.sample(Subject(NODE, node_ref(NODE), NODE), Sample(node_ref(NODE), Source.NODE, "n", 0, 1, 1, values))
    sink.wait(lambda it: any(m.message.name == "system.memory.available.ratio" for m in it.metrics), DEADLINE)
    of_node = {m.message.name: m for m in sink.metrics if m.resource.get("virtwatch.target.kind") == "Node"}
    assert of_node["system.memory.available.ratio"].message.gauge.data_points[0].as_double == 0.25
    assert of_node["system.memory.limit"].message.gauge.data_points[0].as_double == 100.0
    assert of_node["system.memory.limit"].resource == {
        "service.name": "virtwatch-agent",
        "service.instance.id": f"Node/{NODE}",
        "k8s.node.name": NODE,
        "virtwatch.target.kind": "Node",
    }


def test_counters_of_a_restarted_vm_have_a_new_start_time(sink, connect):
    telemetry, _ = connect()
    subject = _subject(1)
    _leave(telemetry, subject, {("cpu.time", "0"): 900.0}, at=100.0)
    sink.wait(lambda it: len(_points(it, subject.target.id, "libvirt.domain.vcpu.time")) == 1, DEADLINE)
    _leave(telemetry, subject, {("cpu.time", "0"): 1.0}, at=110.0, incarnation="second")
    sink.wait(lambda it: len(_points(it, subject.target.id, "libvirt.domain.vcpu.time")) == 2, DEADLINE)
    starts = [point.start_time_unix_nano for point in _points(sink, subject.target.id, "libvirt.domain.vcpu.time")]
    assert starts == [100 * 10**9, 110 * 10**9]


def test_a_vm_that_is_forgotten_sends_its_last_values_and_then_ends_its_series(sink, connect):
    telemetry, _ = connect()
    subject = _subject(1)
    _leave(telemetry, subject, {("cpu.time", "0"): 1.0}, at=100.0)
    telemetry.forget(subject.target)
    sink.wait(lambda it: len(_points(it, subject.target.id, "libvirt.domain.vcpu.time")) == 2, DEADLINE)
    last, end = _points(sink, subject.target.id, "libvirt.domain.vcpu.time")
    assert (last.as_double, last.flags) == (1.0, 0)
    assert (end.HasField("as_double"), end.flags) == (False, 1)


def test_a_vm_that_gets_its_kubernetes_names_later_ends_the_series_under_the_old_names(sink, connect):
    telemetry, _ = connect()
    subject = _subject(1)
    bare = replace(subject, namespace=None, name=None, uid=None)
    _leave(telemetry, bare, {("memory.rss", ""): 1.0}, at=100.0)
    sink.wait(lambda it: len(_points(it, subject.target.id, "libvirt.domain.memory.rss")) == 1, DEADLINE)
    _leave(telemetry, subject, {("memory.rss", ""): 2.0}, at=110.0)
    sink.wait(lambda it: len(_points(it, subject.target.id, "libvirt.domain.memory.rss")) == 3, DEADLINE)
    named = [
        ("kubevirt.vm.name" in item.resource, point.flags)
        for item in sink.metrics
        if item.message.name == "libvirt.domain.memory.rss"
        for point in item.message.gauge.data_points
    ]
    assert named == [(False, 0), (False, 1), (True, 0)]


def test_many_vms_are_sent_in_requests_that_every_receiver_takes(sink, connect):
    telemetry, providers = connect(OTEL_METRIC_EXPORT_INTERVAL="3600000")
    values = {("disk.read.bytes", f"vd{number}"): float(number) for number in range(5000)}
    for number in range(1, 10):
        _leave(telemetry, _subject(number), values, at=100.0, source=Source.BLOCK)
    before = sink.requests
    providers.shutdown(TIMEOUT_S)
    assert sink.requests - before > 1
    assert (
        sum(len(_points(sink, _subject(number).target.id, "libvirt.domain.disk.io")) for number in range(1, 10))
        == 45_000
    )


def test_an_event_is_a_log_record_with_the_catalogues_name_and_no_unknown_attribute(sink, connect):
    telemetry, _ = connect()
    event = TargetEvent(
        "vm.io_error", _subject(1).target, 123.5, {"action": "pause", "device": "vda", "path": "/secret/guest.img"}
    )
    telemetry.event(_subject(1), event)
    sink.wait(lambda it: it.logs, DEADLINE)
    (record,) = sink.logs
    assert record.message.event_name == "libvirt.domain.io_error"
    assert record.message.severity_number == 17
    assert record.message.time_unix_nano == 123_500_000_000
    assert record.attributes == {
        "libvirt.domain.uuid": _subject(1).target.id,
        "libvirt.domain.name": "shop_web-1",
        "k8s.namespace.name": "shop",
        "kubevirt.vm.name": "web-1",
        "kubevirt.vmi.uid": "v1",
        "k8s.node.name": NODE,
        "virtwatch.event.type": "vm.io_error",
        "virtwatch.event.inferred": False,
        "virtwatch.event.action": "pause",
        "virtwatch.event.device": "vda",
    }


def test_a_transition_is_one_trace_from_sample_to_journal_under_the_id_that_the_journal_knows(sink, connect):
    telemetry, _ = connect()
    subject = _subject(1)
    transition = _transition(telemetry, subject)
    cause = _sample(subject, {("cpu.delay", "0"): 1.0}, at=102.0)
    telemetry.transition(transition, thresholds=THRESHOLDS, cause=cause, judged=103.0, journaled=103.5)
    sink.wait(lambda it: len(it.spans) == 4 and it.logs, DEADLINE)
    spans = {item.message.name: item for item in sink.spans}
    root = spans["virtwatch.transition"]
    _, trace, span, _ = transition.traceparent.split("-")
    assert (root.message.trace_id.hex(), root.message.span_id.hex()) == (trace, span)
    assert root.message.parent_span_id == b""
    assert [item.trace_id.hex() for item in root.message.links] == [POLICY_TRACE.split("-")[1]]
    assert root.attributes == {
        "libvirt.domain.uuid": subject.target.id,
        "libvirt.domain.name": "shop_web-1",
        "k8s.namespace.name": "shop",
        "kubevirt.vm.name": "web-1",
        "kubevirt.vmi.uid": "v1",
        "k8s.node.name": NODE,
        "virtwatch.alert.id": transition.alert.id,
        "virtwatch.alert.action": "Fired",
        "virtwatch.alert.reason": "Breach",
        "virtwatch.alert.severity": "Critical",
        "virtwatch.policy.kind": "MonitorPolicy",
        "virtwatch.policy.namespace": "shop",
        "virtwatch.policy.name": "web-tier",
        "virtwatch.rule": "cpu-starved",
        "virtwatch.signal": "vm.cpu.delay.ratio",
        "virtwatch.value": 0.2,
        "virtwatch.bound": 0.1,
    }
    assert {name: _seconds(item.message) for name, item in spans.items()} == {
        "virtwatch.transition": (102.0, 103.5),
        "virtwatch.sample": (102.0, 102.0),
        "virtwatch.judge": (102.0, 103.0),
        "virtwatch.journal": (103.0, 103.5),
    }
    assert {item.message.parent_span_id.hex() for name, item in spans.items() if name != "virtwatch.transition"} == {
        span
    }
    (record,) = sink.logs
    assert record.message.event_name == "virtwatch.alert.transition"
    assert record.message.trace_id.hex() == trace
    assert record.message.body.string_value == "20 % of the time"


def test_a_transition_by_an_event_or_by_no_data_has_no_sample_in_its_trace(sink, connect):
    telemetry, _ = connect()
    subject = _subject(1)
    event = TargetEvent("vm.crashed", subject.target, 102.0)
    for cause in (event, None):
        telemetry.transition(
            _transition(telemetry, subject), thresholds=None, cause=cause, judged=103.0, journaled=103.5
        )
    sink.wait(lambda it: len(it.spans) == 7, DEADLINE)
    names = sorted(item.message.name.removeprefix("virtwatch.") for item in sink.spans)
    assert names == ["event", "journal", "journal", "judge", "judge", "transition", "transition"]


def test_applying_thresholds_is_a_child_of_the_policys_trace(sink, connect):
    telemetry, _ = connect()
    telemetry.applied(THRESHOLDS, started=time.time(), virtual_machines=42)
    sink.wait(lambda it: it.spans, DEADLINE)
    (span,) = sink.spans
    assert span.message.name == "virtwatch.apply"
    assert (span.message.trace_id.hex(), span.message.parent_span_id.hex()) == tuple(POLICY_TRACE.split("-")[1:3])
    assert span.attributes["virtwatch.policy.virtual_machines"] == 42


def test_the_agents_own_figures_carry_the_agents_own_resource(sink, connect):
    telemetry, _ = connect()
    telemetry.observe("virtwatch.agent.samples", "{sample}", lambda: 12, instrument=Instrument.COUNTER)
    telemetry.observe("process.memory.usage", "By", lambda: 5e7)
    sink.wait(
        lambda it: {"virtwatch.agent.samples", "process.memory.usage"} <= {m.message.name for m in it.metrics}, DEADLINE
    )
    metric = next(item for item in sink.metrics if item.message.name == "virtwatch.agent.samples")
    assert metric.resource["service.instance.id"] == NODE
    assert (metric.message.unit, metric.message.sum.is_monotonic) == ("{sample}", True)
    assert metric.message.sum.data_points[0].as_int == 12


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer.UNAVAILABLE, "503 Service Unavailable"),
        (Answer.REDIRECT, "302 Found"),
        (Answer.PARTIAL, "rejected items (1"),
    ],
)
def test_a_backend_that_fails_is_said_once_and_exports_go_on_when_it_is_back(sink, connect, caplog, answer, words):
    sink.answer(answer)
    telemetry, providers = connect(OTEL_EXPORTER_OTLP_TIMEOUT="8", OTEL_TRACES_EXPORTER="none")
    subject = _subject(1)

    def sampled_until(condition):
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline
            _leave(telemetry, subject, {("cpu.time", "0"): 1.0}, at=time.time())
            sink.wait(lambda it, seen=sink.requests: it.requests > seen, DEADLINE)

    sampled_until(lambda: sink.requests > 5 and providers.problem)
    assert words in providers.problem
    assert sink.metrics == []
    sink.answer(Answer.ACCEPT)
    sampled_until(lambda: not providers.problem)
    providers.shutdown(TIMEOUT_S)
    assert _points(sink, subject.target.id, "libvirt.domain.vcpu.time")
    lines = [record.getMessage() for record in caplog.records if record.name == "virtwatch.telemetry"]
    assert [words in lines[0], "again after" in lines[1], len(lines)] == [True, True, 2]
    assert f"{sink.otlp_http}/v1/metrics" in lines[0]


def test_a_backend_that_is_not_there_blocks_nobody_and_leaves_one_line(connect, caplog):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        telemetry, providers = connect(OTEL_EXPORTER_OTLP_ENDPOINT=address)
        subject = _subject(1)
        _leave(telemetry, subject, {("cpu.time", "0"): 1.0}, at=100.0)
        telemetry.event(subject, TargetEvent("vm.started", subject.target, 1.0))
        transition = _transition(telemetry, subject)
        telemetry.transition(transition, thresholds=THRESHOLDS, cause=None, judged=1.0, journaled=2.0)
        providers.shutdown(TIMEOUT_S)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "refuses connections" in lines[0]


def test_without_an_endpoint_nothing_runs_and_one_line_says_so(connect, caplog):
    caplog.set_level(logging.INFO)
    before = set(threading.enumerate())
    telemetry, providers = connect(OTEL_EXPORTER_OTLP_ENDPOINT="")
    subject = _subject(1)
    telemetry.observe("virtwatch.agent.samples", "{sample}", lambda: 12)
    _leave(telemetry, subject, {("cpu.time", "0"): 1.0}, at=100.0)
    telemetry.forget(subject.target)
    telemetry.event(subject, TargetEvent("vm.started", subject.target, 1.0))
    telemetry.applied(THRESHOLDS, started=1.0, virtual_machines=1)
    transition = _transition(telemetry, subject)
    assert transition.traceparent == ""
    telemetry.transition(transition, thresholds=THRESHOLDS, cause=None, judged=1.0, journaled=2.0)
    assert set(threading.enumerate()) <= before
    providers.shutdown(TIMEOUT_S)
    assert [record.getMessage() for record in caplog.records] == [
        "Telemetry: traces, metrics, logs are not exported: no OTEL_EXPORTER_OTLP_ENDPOINT is set, or they are off."
    ]


def test_shutdown_keeps_its_deadline_though_the_backend_hangs(sink, connect, caplog):
    sink.answer(Answer.HANG)
    telemetry, providers = connect(OTEL_EXPORTER_OTLP_TIMEOUT="600")
    subject = _subject(1)
    _leave(telemetry, subject, {("cpu.time", "0"): 1.0}, at=100.0)
    telemetry.event(subject, TargetEvent("vm.started", subject.target, 1.0))
    transition = _transition(telemetry, subject)
    telemetry.transition(transition, thresholds=THRESHOLDS, cause=None, judged=1.0, journaled=2.0)
    sink.wait(lambda it: it.requests >= 3, DEADLINE)
    ended = threading.Thread(target=providers.shutdown, args=(1.0,), daemon=True)
    ended.start()
    ended.join(DEADLINE)
    assert not ended.is_alive()
    assert "not delivered within 1 s" in caplog.text


def test_what_waits_at_shutdown_is_still_sent(sink, connect):
    telemetry, providers = connect(OTEL_METRIC_EXPORT_INTERVAL="3600000")
    subject = _subject(1)
    _leave(telemetry, subject, {("cpu.time", "0"): 1.0}, at=100.0)
    telemetry.event(subject, TargetEvent("vm.started", subject.target, 1.0))
    telemetry.applied(THRESHOLDS, started=1.0, virtual_machines=1)
    providers.shutdown(TIMEOUT_S)
    assert [len(sink.spans), len(sink.logs)] == [1, 1]
    assert _points(sink, subject.target.id, "libvirt.domain.vcpu.time")


def _seconds(span: Span):
    return span.start_time_unix_nano / 1e9, span.end_time_unix_nano / 1e9
