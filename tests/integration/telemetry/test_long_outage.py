"""An outage of the backend takes bounded memory, however long it lasts, and nobody waits for it."""

import time
from collections.abc import Callable

import psutil
import pytest

from lab.process import wait_for
from tests.otlp_sink import Answer, Sink
from tests.soak import times
from virtwatch_agent.observations import Sample, TargetEvent
from virtwatch_agent.telemetry import AgentTelemetry
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import Subject, vm_ref
from virtwatch_rules.inputs import Point
from virtwatch_telemetry import set_up

OUTAGE_S = times(4, 3600)
FILLED_S = times(2, 120)  # until every queue is as full as it gets
VMS, DISKS = 50, 4
MOST_MIB = 16.0
TIMEOUT_S = 15
SLOWEST_S = 7.5  # of what an agent hands over at one instant, on a busy machine: a request takes twice as long


@pytest.mark.soak
@pytest.mark.timeout(OUTAGE_S + 300)
def test_an_outage_of_an_hour_takes_no_more_memory_than_its_begin() -> None:
    with Sink() as sink:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.otlp_http,
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            "OTEL_EXPORTER_OTLP_TIMEOUT": str(TIMEOUT_S),
        }
        providers = set_up("virtwatch-agent", resource_attributes={"service.instance.id": "node-1"}, env=env)
        telemetry, process = AgentTelemetry(providers, time), psutil.Process()

        def hand_over_until(condition: Callable[[], bool], what: str) -> None:
            """What a busy machine delays until the next interval is dropped."""
            wait_for(lambda: bool(_hand_over(telemetry)) or condition(), what=what, deadline=60, poll=0.2)

        hand_over_until(lambda: bool(sink.metrics) and bool(sink.logs), "metrics and logs")
        sink.answer(Answer.UNAVAILABLE)  # one that hangs would keep its threads in this process
        sink.metrics.clear()
        began, filled, slowest = time.monotonic(), 0.0, 0.0
        while (now := time.monotonic()) < began + OUTAGE_S or not filled:
            _hand_over(telemetry)
            slowest = max(slowest, time.monotonic() - now)
            if not filled and now > began + FILLED_S:
                filled = process.memory_info().rss
            time.sleep(0.05)
        grown = (process.memory_info().rss - filled) / (1 << 20)
        hand_over_until(lambda: bool(telemetry.problem), "the outage to be reported")
        sink.answer(Answer.ACCEPT)
        hand_over_until(lambda: bool(sink.metrics), "metrics after the outage")
        providers.shutdown()
    assert grown < MOST_MIB
    assert slowest < SLOWEST_S


def _hand_over(telemetry: AgentTelemetry) -> None:
    """Leave what an agent of so many VMs sees at one instant: readings, values of summaries, an event each."""
    now = time.time()
    for number in range(VMS):
        uuid = f"6a1c1f0e-0000-4000-8000-{number:012}"
        subject = Subject(f"shop_{number}", vm_ref(uuid), "node-1", "shop", f"web-{number}", "uid")
        cpu = {("cpu.time", str(vcpu)): now for vcpu in range(2)}
        disks = {(f"disk.read.{what}", f"vd{disk}"): now for disk in range(DISKS) for what in ("operations", "time")}
        for source, values in ((Source.KERNEL, cpu), (Source.BLOCK, disks)):
            points = [Point("vm.cpu.utilization", "", 0.5), Point("vm.disk.read.latency", "vd0", 0.001)]
            sample = Sample(subject.target, source, "1", now, now, time.monotonic(), values)
            telemetry.sample(subject, sample, points=points)
        telemetry.event(subject, TargetEvent("vm.paused", subject.target, now, {"reason": "user"}))
