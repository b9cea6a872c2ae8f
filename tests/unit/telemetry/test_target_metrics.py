import math

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from virtwatch_agent.observations import Sample
from virtwatch_agent.telemetry.figures import FIGURES
from virtwatch_agent.telemetry.identity import target_resource
from virtwatch_agent.telemetry.summaries import Counted
from virtwatch_agent.telemetry.target_metrics import TargetMetrics
from virtwatch_api.catalogue.instruments import exported
from virtwatch_api.catalogue.readings import READING, READINGS, Instrument, Source
from virtwatch_api.targets import Subject, node_ref, vm_ref

_UUID = "3f1c0f5e-0000-4000-8000-000000000001"
_RESOURCE = {"libvirt.domain.uuid": _UUID, "service.instance.id": _UUID}
_CPU, _RSS = ("cpu.time", "0"), ("memory.rss", "")
_DISK = ("disk.read.bytes", "vda")
_NO_SUMMARIES = exported().without_summaries()
_RAW = {reading.metric for reading in READINGS}


def _sample(values, *, at=100.0, source=Source.KERNEL, incarnation="first"):
    return Sample(vm_ref(_UUID), source, incarnation, at - 0.01, at, at, values)


def _read(body):
    """Return {(metric, sorted attributes): point} of raw readings, and the Resources."""
    points, resources = _all(body)
    return {series: point for series, point in points.items() if series[0] in _RAW}, resources


def _all(body):
    """Return the same, of derived signals too."""
    request = ExportMetricsServiceRequest.FromString(body)
    points = {
        (metric.name, tuple(sorted((item.key, item.value.string_value) for item in point.attributes))): point
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in (metric.sum if metric.HasField("sum") else metric.gauge).data_points
    }
    return points, request.resource_metrics


_CPU_POINT = ("libvirt.domain.vcpu.time", (("libvirt.vcpu.id", "0"),))
_RSS_POINT = ("libvirt.domain.memory.rss", ())
_DISK_POINT = ("libvirt.domain.disk.io", (("disk.io.direction", "read"), ("system.device", "vda")))


def test_every_reading_of_the_catalogue_has_its_name_unit_instrument_and_attributes():
    for reading in READINGS:
        device = "x1" if reading.device else ""
        body = TargetMetrics(_RESOURCE).render([_sample({(reading.key, device): 7.0}, source=reading.source)])
        points, (resource,) = _read(body)
        (metric,) = resource.scope_metrics[0].metrics
        assert (metric.name, metric.unit, metric.description) == (reading.metric, reading.unit, reading.description)
        assert metric.HasField("sum") is (reading.instrument is Instrument.COUNTER)
        assert metric.sum.is_monotonic is (reading.instrument is Instrument.COUNTER)
        expected = {*reading.attributes, *([(reading.device, device)] if reading.device else [])}
        ((_, attributes),) = points
        assert set(attributes) == expected
        assert [point.as_double for point in points.values()] == [7.0]


def test_readings_that_share_a_metric_share_its_message():
    values = {("disk.read.bytes", "vda"): 1.0, ("disk.write.bytes", "vda"): 2.0, ("disk.read.bytes", "vdb"): 3.0}
    points, (resource,) = _read(TargetMetrics(_RESOURCE).render([_sample(values, source=Source.BLOCK)]))
    assert len(resource.scope_metrics[0].metrics) == 1
    assert len(points) == 3


def test_samples_of_several_sources_are_one_resource():
    body = TargetMetrics(_RESOURCE).render([_sample({_CPU: 1.0}), _sample({_DISK: 2.0}, source=Source.BLOCK)])
    points, resources = _read(body)
    assert set(points) == {_CPU_POINT, _DISK_POINT}
    assert [{item.key: item.value.string_value for item in entry.resource.attributes} for entry in resources] == [
        _RESOURCE
    ]


def test_only_sources_with_a_new_sample_have_points():
    target = TargetMetrics(_RESOURCE)
    target.render([_sample({_CPU: 1.0}), _sample({_DISK: 2.0}, source=Source.BLOCK)])
    points, _ = _read(target.render([_sample({_CPU: 3.0}, at=115.0)]))
    assert set(points) == {_CPU_POINT}


def test_a_counter_starts_when_its_incarnation_was_first_seen_and_a_gauge_has_no_start():
    target = TargetMetrics(_RESOURCE)
    target.render([_sample({_CPU: 1.0, _RSS: 5.0}, at=100.0)])
    points, _ = _read(target.render([_sample({_CPU: 2.0, _RSS: 6.0}, at=115.0)]))
    assert points[_CPU_POINT].start_time_unix_nano == 100 * 10**9
    assert points[_CPU_POINT].time_unix_nano == 115 * 10**9
    assert points[_RSS_POINT].start_time_unix_nano == 0


def test_a_new_incarnation_starts_its_counters_anew():
    target = TargetMetrics(_RESOURCE)
    target.render([_sample({_CPU: 900.0}, at=100.0)])
    points, _ = _read(target.render([_sample({_CPU: 2.0}, at=115.0, incarnation="second")]))
    assert points[_CPU_POINT].as_double == 2.0
    assert points[_CPU_POINT].start_time_unix_nano == 115 * 10**9


def test_a_device_that_is_gone_ends_its_series_once():
    target = TargetMetrics(_RESOURCE)
    target.render([_sample({_DISK: 2.0, ("disk.read.bytes", "vdb"): 3.0}, source=Source.BLOCK)])
    unplugged = ("libvirt.domain.disk.io", (("disk.io.direction", "read"), ("system.device", "vdb")))
    points, _ = _read(target.render([_sample({_DISK: 4.0}, at=115.0, source=Source.BLOCK)]))
    assert points[unplugged].flags == 1
    assert not points[unplugged].HasField("as_double")
    assert points[_DISK_POINT].flags == 0
    points, _ = _read(target.render([_sample({_DISK: 5.0}, at=130.0, source=Source.BLOCK)]))
    assert set(points) == {_DISK_POINT}


def test_the_end_of_a_vm_ends_all_its_series():
    target = TargetMetrics(_RESOURCE)
    target.render([_sample({_CPU: 1.0, _RSS: 1.0}), _sample({_DISK: 2.0}, source=Source.BLOCK)])
    points, resources = _read(target.end(120.0))
    assert set(points) == {_CPU_POINT, _RSS_POINT, _DISK_POINT}
    assert {point.flags for point in points.values()} == {1}
    assert {point.time_unix_nano for point in points.values()} == {120 * 10**9}
    assert len(resources) == 1
    assert target.end(130.0) == b""


def test_what_is_no_number_or_no_reading_is_left_out_and_costs_nothing_else():
    target = TargetMetrics(_RESOURCE)
    values = {_CPU: math.nan, _RSS: 5.0, ("no.such.reading", ""): 1.0, ("cpu.time", "1"): math.inf}
    points, _ = _read(target.render([_sample(values)]))
    assert set(points) == {_RSS_POINT}
    points, _ = _read(target.render([_sample({_CPU: 1.0, _RSS: 6.0}, at=115.0)]))
    assert set(points) == {_CPU_POINT, _RSS_POINT}


_SERIES = st.sampled_from(
    [(key, device) for key, reading in READING.items() for device in (["a", "b"] if reading.device else [""])]
)


@given(
    st.lists(
        st.tuples(st.dictionaries(_SERIES, st.floats(allow_nan=False, allow_infinity=False)), st.sampled_from("xy")),
        min_size=1,
        max_size=6,
    )
)
def test_the_last_message_holds_exactly_the_last_sample_whatever_came_before(history):
    target = TargetMetrics(_RESOURCE)
    for index, (values, incarnation) in enumerate(history):
        body = target.render([_sample(values, at=100.0 + index, incarnation=incarnation)])
    points, _ = _read(body)
    recorded = [point.as_double for point in points.values() if point.flags == 0]
    assert sorted(recorded) == sorted(history[-1][0].values())


def test_a_vms_resource_never_tells_of_the_agents_host_pod_or_process():
    agent = {
        "service.name": "virtwatch-agent",
        "service.instance.id": "node-1",
        "service.version": "0.1",
        "deployment.environment.name": "prod",
        "k8s.cluster.name": "east",
        "k8s.namespace.name": "virtwatch-system",
        "k8s.pod.name": "virtwatch-agent-x",
        "host.name": "node-1",
        "process.pid": 7,
        "telemetry.sdk.name": "opentelemetry",
    }
    subject = Subject("shop_web-1", vm_ref(_UUID), "node-1", "shop", "web-1", "vmi-uid")
    assert target_resource(subject, "pod-uid", agent) == {
        "service.name": "virtwatch-agent",
        "service.instance.id": _UUID,
        "deployment.environment.name": "prod",
        "k8s.cluster.name": "east",
        "libvirt.domain.uuid": _UUID,
        "libvirt.domain.name": "shop_web-1",
        "k8s.namespace.name": "shop",
        "kubevirt.vm.name": "web-1",
        "kubevirt.vmi.uid": "vmi-uid",
        "k8s.node.name": "node-1",
        "k8s.pod.uid": "pod-uid",
    }


def test_a_derived_signal_is_the_mean_of_the_export_interval():
    target = TargetMetrics(_RESOURCE, _NO_SUMMARIES)
    target.render([_sample({("cpu.time", "0"): 10.0, ("cpu.time", "1"): 20.0}, at=100.0)])
    points, _ = _all(target.render([_sample({("cpu.time", "0"): 20.0, ("cpu.time", "1"): 20.0}, at=120.0)]))
    used = points["libvirt.domain.cpu.utilization", ()]
    assert (used.as_double, used.time_unix_nano, used.start_time_unix_nano) == (0.25, 120 * 10**9, 0)
    assert points["libvirt.domain.cpu.worst.utilization", ()].as_double == 0.5


def _disk(operations, seconds):
    return {("disk.read.operations", "vda"): operations, ("disk.read.time", "vda"): seconds}


_LATENCY = ("libvirt.domain.disk.latency", (("disk.io.direction", "read"), ("system.device", "vda")))


def test_the_latency_of_a_disk_that_becomes_idle_ends_as_a_series():
    target = TargetMetrics(_RESOURCE, _NO_SUMMARIES)
    told = []
    for at, operations, seconds in ((100.0, 5.0, 1.0), (115.0, 9.0, 1.2), (130.0, 9.0, 1.2), (145.0, 10.0, 1.3)):
        points, _ = _all(target.render([_sample(_disk(operations, seconds), at=at, source=Source.BLOCK)]))
        point = points.get(_LATENCY)
        told.append(None if point is None else "ended" if point.flags else round(point.as_double, 9))
    assert told == [None, 0.05, "ended", 0.1]


def test_no_rate_is_derived_across_a_restart_and_its_series_ends():
    target = TargetMetrics(_RESOURCE, _NO_SUMMARIES)
    target.render([_sample({_CPU: 10.0}, at=100.0)])
    target.render([_sample({_CPU: 12.0}, at=115.0)])
    points, _ = _all(target.render([_sample({_CPU: 900.0}, at=130.0, incarnation="second")]))
    assert points["libvirt.domain.cpu.utilization", ()].flags == 1
    assert points[_CPU_POINT].flags == 0


def test_a_rate_by_the_guests_clock_stays_until_the_guest_reports_again():
    target = TargetMetrics(_RESOURCE, _NO_SUMMARIES)
    told = []
    for at, updated, swapped in ((100.0, 90.0, 0.0), (115.0, 110.0, 40.0), (118.0, 110.0, 40.0), (130.0, 120.0, 40.0)):
        values = {("memory.guest.updated", ""): updated, ("memory.swap_in", ""): swapped, ("memory.swap_out", ""): 0.0}
        points, _ = _all(target.render([_sample(values, at=at, source=Source.BALLOON)]))
        point = points.get(("libvirt.domain.memory.swap.rate", ()))
        told.append(point and (point.as_double, point.time_unix_nano // 10**9, point.flags))
    assert told == [None, (2.0, 115, 0), (2.0, 115, 0), (0.0, 130, 0)]


def test_every_derived_signal_has_its_own_name_and_the_attributes_of_its_readings():
    named = [(figure.metric, figure.attributes) for figure in FIGURES.values()]
    assert len(set(named)) == len(named)
    latency = FIGURES["vm.disk.write.latency"]
    assert (latency.metric, latency.unit, latency.device) == ("libvirt.domain.disk.latency", "s", "system.device")
    assert latency.attributes == (("disk.io.direction", "write"),)
    assert FIGURES["node.cpu.utilization"].metric == "system.cpu.utilization"
    # Its counter is exported, and every backend computes its rate; a policy may want it exported all the same.
    assert "vm.network.receive.rate" not in exported().gauges | exported().summaries
    assert FIGURES["vm.network.receive.rate"].metric == "libvirt.domain.network.rate"
    # Its reading is exported as it is.
    assert "vm.memory.rss" not in FIGURES


def test_the_node_is_a_resource_that_is_not_the_agents_own():
    agent = {"service.name": "virtwatch-agent", "service.instance.id": "n1", "k8s.cluster.name": "east"}
    assert target_resource(Subject("n1", node_ref("n1"), "n1"), None, agent) == {
        "service.name": "virtwatch-agent",
        "k8s.cluster.name": "east",
        "k8s.node.name": "n1",
        "virtwatch.target.kind": "Node",
        "service.instance.id": "Node/n1",
    }


def test_a_counter_that_went_back_begins_anew_after_the_sample_before():
    target = TargetMetrics(_RESOURCE)
    for at, value in ((100.0, 50.0), (115.0, 60.0)):
        target.render([_sample({_CPU: value, _RSS: value}, at=at)])
    points, _ = _read(target.render([_sample({_CPU: 3.0, _RSS: 3.0}, at=130.0)]))
    assert points[_CPU_POINT].start_time_unix_nano == 115 * 10**9
    assert points[_RSS_POINT].start_time_unix_nano == 0
    points, _ = _read(target.render([_sample({_CPU: 4.0, _RSS: 4.0}, at=145.0)]))
    assert points[_CPU_POINT].start_time_unix_nano == 115 * 10**9


def test_the_counters_of_a_device_that_comes_later_begin_after_the_sample_before():
    target = TargetMetrics(_RESOURCE)
    later = ("libvirt.domain.disk.io", (("disk.io.direction", "read"), ("system.device", "vdb")))
    target.render([_sample({_DISK: 1.0}, at=100.0, source=Source.BLOCK)])
    target.render([_sample({_DISK: 2.0}, at=115.0, source=Source.BLOCK)])
    values = {_DISK: 3.0, ("disk.read.bytes", "vdb"): 7.0}
    points, _ = _read(target.render([_sample(values, at=130.0, source=Source.BLOCK)]))
    starts = [points[series].start_time_unix_nano // 10**9 for series in (_DISK_POINT, later)]
    assert starts == [100, 115]


def _histograms(body):
    """Return {metric, sorted attributes: point} of the exponential histograms."""
    request = ExportMetricsServiceRequest.FromString(body)
    return {
        (metric.name, tuple(sorted((item.key, item.value.string_value) for item in point.attributes))): point
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.exponential_histogram.data_points
    }


def _counted(*values, signal="vm.cpu.utilization", device="", incarnation="first", at=98.0):
    return [Counted(incarnation, (signal, device), value, at) for value in values]


_USED = ("libvirt.domain.cpu.utilization", ())


def test_a_summary_holds_every_value_so_that_the_peak_survives():
    target = TargetMetrics(_RESOURCE)
    target.render([_sample({_CPU: 1.0}, at=100.0)], _counted(0.1, 0.1, 0.0))
    point = _histograms(target.render([_sample({_CPU: 1.0}, at=115.0)], _counted(0.1, 0.95, 0.1)))[_USED]
    assert (point.count, point.zero_count, round(point.sum, 9)) == (6, 1, 1.35)
    assert (point.start_time_unix_nano, point.time_unix_nano, point.flags) == (98 * 10**9, 115 * 10**9, 0)
    last = point.positive.offset + len(point.positive.bucket_counts) - 1
    base = 2 ** (2**-point.scale)
    assert base**last < 0.95 <= base ** (last + 1)
    assert base < 1.03
    assert sum(point.positive.bucket_counts) + point.zero_count == point.count


def test_a_summary_begins_anew_with_an_incarnation_and_ends_with_its_device_and_target():
    target = TargetMetrics(_RESOURCE)
    target.render([_sample({_CPU: 1.0}, at=100.0)], _counted(0.5))
    mixed = [*_counted(0.6), *_counted(0.7, incarnation="second", at=114.0)]
    point = _histograms(target.render([_sample({_CPU: 1.0}, at=115.0, incarnation="second")], mixed))[_USED]
    assert (point.count, point.start_time_unix_nano) == (1, 114 * 10**9)
    disk = _counted(0.1, signal="vm.disk.read.latency", device="vda", incarnation="second")
    block = _disk(1.0, 1.0)
    target.render([_sample(block, at=120.0, source=Source.BLOCK, incarnation="second")], disk)
    other = {("disk.read.operations", "vdb"): 1.0}
    ended = _histograms(target.render([_sample(other, at=130.0, source=Source.BLOCK, incarnation="second")]))
    assert [(series, point.flags) for series, point in ended.items()] == [(_LATENCY, 1)]
    assert {series: point.flags for series, point in _histograms(target.end(140.0)).items()} == {_USED: 1}


def test_a_summary_of_a_device_that_comes_back_starts_when_it_came_back():
    target = TargetMetrics(_RESOURCE)
    read = {"signal": "vm.disk.read.latency", "device": "vda"}
    other = {("disk.read.operations", "vdb"): 1.0}
    target.render([_sample(_disk(1.0, 1.0), at=100.0, source=Source.BLOCK)], _counted(0.1, **read))
    target.render([_sample(other, at=110.0, source=Source.BLOCK)])
    back = target.render([_sample(_disk(1.0, 1.0), at=120.0, source=Source.BLOCK)], _counted(0.1, at=119.0, **read))
    assert (_histograms(back)[_LATENCY].count, _histograms(back)[_LATENCY].start_time_unix_nano) == (1, 119 * 10**9)


def test_nothing_begins_after_it_ends_though_the_clock_was_set_back():
    target = TargetMetrics(_RESOURCE)
    target.render([_sample({_CPU: 1.0}, at=1000.0)], _counted(0.1, at=999.0))
    for at, used in ((600.0, 1.0), (615.0, 2.0), (630.0, 3.0)):
        body = target.render([_sample({_CPU: used}, at=at)], _counted(0.1, at=at))
        points, _ = _read(body)
        for point in (points[_CPU_POINT], _histograms(body)[_USED]):
            assert point.start_time_unix_nano == 600 * 10**9
            assert point.time_unix_nano == at * 10**9
