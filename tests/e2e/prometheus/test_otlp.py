"""What a real Prometheus makes of the metrics that an agent sends it by OTLP."""

import re
import time
from collections.abc import Iterator

import pytest

from lab.process import wait_for
from lab.prometheus.server import PrometheusServer
from lab.rundir import RunDir, clean
from virtwatch_agent.export_settings import ExportSettings
from virtwatch_agent.observations import Sample
from virtwatch_agent.telemetry import AgentTelemetry
from virtwatch_api.catalogue.readings import READINGS, Instrument, Reading, Source
from virtwatch_api.targets import Subject, vm_ref
from virtwatch_rules.inputs import Point
from virtwatch_telemetry import set_up

DEADLINE_S = 120.0
VM, OTHER = (f"6a1c0f5e-0000-4000-8000-00000000000{number}" for number in (1, 2))
UNITS = {"s": "_seconds", "By": "_bytes", "By/s": "_bytes_per_second"}


@pytest.fixture(scope="module")
def prometheus() -> Iterator[PrometheusServer]:
    run = RunDir.create("tests-prometheus")
    started = PrometheusServer(run)
    try:
        started.start()
        yield started
    finally:
        started.stop()
        clean(run)


@pytest.fixture
def telemetry(prometheus: PrometheusServer) -> Iterator[AgentTelemetry]:
    env = {
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{prometheus.otlp_http}/v1/metrics",
        "OTEL_METRIC_EXPORT_INTERVAL": "100",
    }
    providers = set_up("virtwatch-agent", resource_attributes={"service.instance.id": "node-1"}, env=env)
    yield AgentTelemetry(providers, time)
    assert providers.problem == ""
    providers.shutdown()


def leave(telemetry: AgentTelemetry, uuid: str, readings: tuple[Reading, ...] = READINGS) -> None:
    """Hand one figure of each reading to the exporter."""
    subject = Subject(f"shop_{uuid[-1]}", vm_ref(uuid), "node-1", "shop", f"web-{uuid[-1]}", "vmi")
    now = time.time()
    for source in {reading.source for reading in readings}:
        of_source = [reading for reading in readings if reading.source is source]
        values = {(reading.key, "0" if reading.device else ""): 1.5 for reading in of_source}
        telemetry.sample(subject, Sample(vm_ref(uuid), source, "first", now, now, now, values))


def name(reading: Reading) -> str:
    """Name a reading's metric as Prometheus does: with its unit, and what tells a counter."""
    words = reading.metric.replace(".", "_")
    if reading.instrument is Instrument.COUNTER:
        return words.removesuffix("_total") + UNITS.get(reading.unit, "") + "_total"
    return words + UNITS.get(reading.unit, "_ratio" if reading.unit == "1" else "")


def names(prometheus: PrometheusServer, uuid: str) -> set[str]:
    found = prometheus.query(f'{{libvirt_domain_uuid="{uuid}"}}')
    return {series["metric"]["__name__"] for series in found}


def test_every_metric_arrives_under_its_prometheus_name(
    prometheus: PrometheusServer, telemetry: AgentTelemetry
) -> None:
    leave(telemetry, VM)

    expected = {name(reading) for reading in READINGS}
    what = "every metric of the catalogue"
    wait_for(lambda: names(prometheus, VM) >= expected, what=what, deadline=DEADLINE_S)
    found = prometheus.query(f'libvirt_domain_vcpu_time_seconds_total{{libvirt_domain_uuid="{VM}"}}')
    assert found[0]["value"][1] == "1.5"
    assert found[0]["metric"]["kubevirt_vm_name"] == "web-1"


def test_the_peak_of_a_summary_survives_until_prometheus(
    prometheus: PrometheusServer, telemetry: AgentTelemetry
) -> None:
    vm = "6a1c0f5e-0000-4000-8000-000000000003"
    subject, now = Subject("shop_3", vm_ref(vm), "node-1", "shop", "web-3", "vmi"), time.time()
    for used in (0.1, 0.95, 0.1):
        sample = Sample(vm_ref(vm), Source.KERNEL, "first", now, now, now, {("cpu.time", "0"): 1.5})
        telemetry.sample(subject, sample, points=[Point("vm.cpu.utilization", "", used)])

    def value(query: str) -> float:
        found = prometheus.query(query)
        return float(found[0]["value"][1]) if found else 0.0

    summary = f'libvirt_domain_cpu_utilization{{libvirt_domain_uuid="{vm}"}}'
    wait_for(lambda: value(f"histogram_count({summary})") == 3, what="three values", deadline=DEADLINE_S)
    assert value(f"histogram_quantile(1, {summary})") == pytest.approx(0.95, rel=0.03)
    assert value(f"histogram_avg({summary})") == pytest.approx(1.15 / 3)


def test_a_page_of_prometheus_shows_a_vms_counters_gauges_and_summaries(
    prometheus: PrometheusServer, telemetry: AgentTelemetry
) -> None:
    vm = "6a1c0f5e-0000-4000-8000-000000000004"
    subject, began = Subject("shop_4", vm_ref(vm), "node-1", "shop", "web-4", "vmi"), time.time()

    def cells() -> list[str]:
        """Hand over a look, and return what the page says of the VM."""
        now = time.time()
        received = 65536.0 * (now - began)
        values = {("memory.rss", ""): 3.0 * 2**20, ("network.receive.bytes", "net0"): received}
        for used in (0.1, 0.95):
            sample = Sample(vm_ref(vm), Source.KERNEL, "first", began, now, now, values)
            telemetry.sample(subject, sample, points=[Point("vm.cpu.utilization", "", used)])
        page = re.sub(r"\s*</?(td|tr)[^>]*>\s*", "|", prometheus.console("10s"))
        return next((row.strip("|").split("||") for row in page.split("||||") if "|web-4|" in row), [])

    seen: list[str] = []

    def shown() -> bool:
        seen[:] = cells()
        return len(seen) > 14 and "-" not in (*seen[3:6], seen[13], seen[14]) and seen[3] != "NaN%"

    wait_for(shown, what="the VM's figures on the page", deadline=DEADLINE_S, poll=0.3)
    mean, _, peak, resident, received = *seen[3:6], *seen[13:15]
    assert seen[:3] == ["shop", "web-4", "node-1"]
    assert float(mean.removesuffix("%")) == pytest.approx(52.5, rel=0.03)
    assert float(peak.removesuffix("%")) == pytest.approx(95, rel=0.03)
    assert resident == "3MiB"
    assert received.endswith("iB/s")


def test_the_series_of_a_forgotten_vm_end_at_once(prometheus: PrometheusServer, telemetry: AgentTelemetry) -> None:
    leave(telemetry, OTHER)
    wait_for(lambda: names(prometheus, OTHER) != set(), what="its series", deadline=DEADLINE_S)

    telemetry.forget(vm_ref(OTHER))

    # Without the mark that a series ended, Prometheus shows its last value for five minutes.
    what = "its series to end"
    wait_for(lambda: names(prometheus, OTHER) - {"target_info"} == set(), what=what, deadline=DEADLINE_S)


def test_vms_are_told_apart_without_promoted_attributes() -> None:
    """As a Prometheus takes OTLP that nobody has configured: it makes no labels of resource attributes."""
    run = RunDir.create("tests-prometheus-plain")
    plain = PrometheusServer(run, promoted=())
    try:
        plain.start()
        env = {
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{plain.otlp_http}/v1/metrics",
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
        }
        providers = set_up("virtwatch-agent", resource_attributes={"service.instance.id": "node-1"}, env=env)
        told = AgentTelemetry(providers, time, ExportSettings(identity_on_points=True, kubevirt_names=True))
        leave(told, VM)
        ours = f'libvirt_domain_memory_rss_bytes{{libvirt_domain_uuid="{VM}",kubevirt_vm_name="web-1"}}'
        wait_for(lambda: plain.query(ours), what="a VM under its name", deadline=DEADLINE_S)
        kubevirts = 'kubevirt_vmi_vcpu_seconds_total{name="web-1",namespace="shop",node="node-1",id="0"}'
        wait_for(lambda: plain.query(kubevirts), what="a VM under KubeVirt's names", deadline=DEADLINE_S)
        providers.shutdown()
    finally:
        plain.stop()
        clean(run)
