"""What a real OpenTelemetry Collector, with Jaeger behind it, makes of the agent's telemetry."""

import time

import pytest

from lab.backend.backend import Backend
from lab.process import wait_for
from virtwatch_agent.observations import Sample
from virtwatch_agent.telemetry import AgentTelemetry
from virtwatch_api.alert import Action, AlertKey, Reason
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.nodemonitor import Evidence, Transition
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity
from virtwatch_api.targets import Subject, vm_ref
from virtwatch_telemetry import set_up

DEADLINE = 60.0
FIRST, SECOND = (f"5a1c0f5e-0000-4000-8000-00000000000{number}" for number in (1, 2))


@pytest.fixture
def connected(backend: Backend, monkeypatch, patient_exports):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": backend.otlp_http, "OTEL_METRIC_EXPORT_INTERVAL": "200"}
    providers = set_up("virtwatch-agent", resource_attributes={"service.instance.id": "node-1"}, env=env)
    yield AgentTelemetry(providers, time), providers
    providers.shutdown()


def _subject(uuid):
    return Subject(f"shop_{uuid[-1]}", vm_ref(uuid), "node-1", "shop", f"web-{uuid[-1]}", "vmi")


def _leave(telemetry, uuid, seconds):
    now = time.time()
    sample = Sample(vm_ref(uuid), Source.KERNEL, "first", now, now, now, {("cpu.time", "0"): seconds})
    telemetry.sample(_subject(uuid), sample)


def _series(backend, uuid):
    return [
        line
        for line in backend.metrics().splitlines()
        if line.startswith("libvirt_domain_vcpu_time_seconds_total") and f'libvirt_domain_uuid="{uuid}"' in line
    ]


def test_vms_are_series_of_their_own_in_prometheus_format_until_they_are_forgotten(backend, connected):
    telemetry, providers = connected
    for uuid, seconds in ((FIRST, 1.5), (SECOND, 2.5)):
        _leave(telemetry, uuid, seconds)
    wait_for(lambda: _series(backend, FIRST) and _series(backend, SECOND), what="both series", deadline=DEADLINE)
    (line,) = _series(backend, SECOND)
    assert f'instance="{SECOND}"' in line
    assert 'k8s_namespace_name="shop"' in line
    assert 'libvirt_vcpu_id="0"' in line
    assert "} 2.5" in line
    telemetry.forget(vm_ref(SECOND))
    wait_for(lambda: not _series(backend, SECOND), what="the series to end", deadline=DEADLINE)
    assert _series(backend, FIRST)
    assert providers.problem == ""


def test_the_trace_of_a_transition_is_found_under_the_id_that_the_journal_holds(backend, connected):
    telemetry, providers = connected
    now = time.time()
    transition = Transition(
        sequence=1,
        alert=AlertKey(PolicyKey(PolicyKind.MONITOR_POLICY, "web-tier", "shop"), "cpu-starved", vm_ref(FIRST)),
        action=Action.FIRED,
        reason=Reason.BREACH,
        severity=Severity.WARNING,
        previous=None,
        at=now,
        since=now,
        subject=_subject(FIRST),
        evidence=Evidence("vm.cpu.delay.ratio", 0.2, 0.1, "20 % of the time"),
        traceparent=telemetry.transition_context(),
    )
    cause = Sample(vm_ref(FIRST), Source.KERNEL, "first", now - 0.2, now - 0.1, now, {("cpu.delay", "0"): 1.0})
    telemetry.transition(transition, thresholds=None, cause=cause, judged=now, journaled=now + 0.1)
    trace_id = transition.traceparent.split("-")[1]
    wait_for(lambda: len(backend.trace(trace_id).get("spans", [])) == 4, what="the trace", deadline=DEADLINE)
    names = {span["operationName"] for span in backend.trace(trace_id)["spans"]}
    assert names == {"virtwatch.transition", "virtwatch.sample", "virtwatch.judge", "virtwatch.journal"}
    wait_for(lambda: "virtwatch.alert.transition" in backend.log.read_text(), what="the event", deadline=DEADLINE)
    assert providers.problem == ""
