"""Switches of the export: identity on points, KubeVirt's names, hashed names, a bound on series."""

from dataclasses import replace

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from virtwatch_agent.config import AgentSettings
from virtwatch_agent.export_settings import ExportSettings
from virtwatch_agent.observations import Sample, TargetEvent
from virtwatch_agent.telemetry.hashed_names import Names
from virtwatch_agent.telemetry.identity import alert_attributes, target_attributes
from virtwatch_agent.telemetry.kubevirt_names import KUBEVIRT_FIGURES
from virtwatch_agent.telemetry.summaries import Counted
from virtwatch_agent.telemetry.target_metrics import TargetMetrics
from virtwatch_api.alert import Action, AlertKey, Reason
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.instruments import exported
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.nodemonitor import Evidence, Transition
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity
from virtwatch_api.targets import Subject, TargetRef, node_ref, vm_ref
from virtwatch_telemetry.names import HashedNames

UUID = "3f1c0f5e-0000-4000-8000-000000000001"
VM = Subject("shop_web", vm_ref(UUID), "node-1", "shop", "web", "uid-1")
CPU, RSS, NIC = ("cpu.time", "0"), ("memory.rss", ""), ("network.receive.bytes", "tap0")


def sample(values, at=100.0):
    return Sample(vm_ref(UUID), Source.KERNEL, "1", at, at, at, values)


def metrics(settings, subject=VM):
    return TargetMetrics({"libvirt.domain.uuid": UUID}, exported(), subject, settings)


def points(body):
    """Return [(metric, attributes, value or None where the series ends)]."""
    return [
        (
            metric.name,
            {item.key: item.value.string_value for item in point.attributes},
            None if point.flags else point.as_double,
        )
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in (metric.sum if metric.HasField("sum") else metric.gauge).data_points
    ]


def test_every_point_carries_the_names_of_its_vm_where_asked():
    told = points(metrics(ExportSettings(identity_on_points=True)).render([sample({CPU: 1.0, RSS: 2.0})]))
    assert told
    for _, attributes, _ in told:
        assert attributes["libvirt.domain.uuid"] == UUID
        assert (attributes["k8s.namespace.name"], attributes["kubevirt.vm.name"]) == ("shop", "web")
        assert attributes["k8s.node.name"] == "node-1"
    assert points(metrics(ExportSettings()).render([sample({RSS: 2.0})])) == [("libvirt.domain.memory.rss", {}, 2.0)]


def test_a_vm_is_told_under_kubevirts_names_too_where_asked():
    held = metrics(ExportSettings(kubevirt_names=True))
    told = points(held.render([sample({RSS: 5.0, NIC: 7.0})]))
    named = {"name": "web", "namespace": "shop", "node": "node-1"}
    assert ("kubevirt_vmi_memory_resident_bytes", named, 5.0) in told
    assert ("kubevirt_vmi_network_receive_bytes_total", {**named, "interface": "tap0"}, 7.0) in told
    assert ("libvirt.domain.memory.rss", {}, 5.0) in told

    ended = points(held.render([sample({RSS: 6.0}, at=101.0)]))
    assert ("kubevirt_vmi_network_receive_bytes_total", {**named, "interface": "tap0"}, None) in ended
    names = {name for name, _, _ in points(held.end(102.0))}
    assert names == {"kubevirt_vmi_memory_resident_bytes", "libvirt.domain.memory.rss"}


def test_a_node_has_no_names_of_kubevirt():
    node = Subject("node-1", node_ref("node-1"), "node-1")
    held = metrics(ExportSettings(kubevirt_names=True), node)
    values = {("node.memory.available", ""): 1.0}
    body = held.render([Sample(node.target, Source.NODE, "n", 0.0, 1.0, 1.0, values)])
    assert not any(name.startswith("kubevirt") for name, _, _ in points(body))


def test_counters_keep_kubevirts_kind():
    assert KUBEVIRT_FIGURES["kubevirt cpu.time"].counter
    assert not KUBEVIRT_FIGURES["kubevirt memory.swap_in"].counter  # KubeVirt calls it a gauge


def test_a_target_has_as_many_series_as_it_may_and_the_rest_is_counted():
    held = metrics(ExportSettings(most_series=3))
    many = {("network.receive.bytes", f"tap{number}"): float(number) for number in range(10)}
    assert len(points(held.render([sample(many)]))) == 3
    assert held.cut == 7

    # Those that are there stay: else each export would begin and end series.
    reordered = {("network.receive.bytes", "new"): 1.0, **dict(reversed(many.items()))}
    told = points(held.render([sample(reordered, at=101.0)]))
    kept = {attributes["network.interface.name"] for _, attributes, value in told if value is not None}
    assert kept == {"tap0", "tap1", "tap2"}
    held.render([sample({RSS: 1.0}, at=102.0)])
    assert held.cut == 0


def test_summaries_that_nothing_is_counted_for_any_more_are_not_cut():
    held = metrics(ExportSettings(most_series=2))
    disks = [Counted("1", ("vm.disk.read.latency", f"vd{letter}"), 0.1, 100.0) for letter in "abcde"]
    held.render([sample({RSS: 1.0}, at=100.0)], disks)
    assert held.cut == 4
    held.render([sample({RSS: 1.0}, at=300.0)])
    assert held.cut == 4
    held.render([sample({RSS: 1.0}, at=401.0)])
    assert held.cut == 0


def test_names_are_hashed_alike_everywhere_with_one_key_alone():
    names, other = Names("0123456789abcdef"), Names("fedcba9876543210")
    told = names.subject(VM)
    assert told == Names("0123456789abcdef").subject(VM)
    assert told != other.subject(VM)
    assert not {"shop", "web", "shop_web"} & {told.label, told.namespace, told.name}
    assert (told.target, told.node, told.uid) == (VM.target, VM.node, VM.uid)
    assert Names().subject(VM) == VM


def test_of_a_hashed_vms_event_only_the_catalogues_words_leave():
    event = TargetEvent("vm.io_error", VM.target, 1.0, {"action": "pause", "disk": "/images/shop-web.qcow2"})
    assert Names("0123456789abcdef").attributes(event) == {"action": "pause"}
    assert set(Names().attributes(event)) >= {"action"}


def test_settings_of_the_export_are_read_and_a_short_key_is_refused():
    env = {
        "VIRTWATCH_NODE": "node-1",
        "VIRTWATCH_EXPORT_IDENTITY_ON_POINTS": "on",
        "VIRTWATCH_EXPORT_KUBEVIRT_NAMES": "on",
        "VIRTWATCH_EXPORT_HASH_KEY": "0123456789abcdef",
        "VIRTWATCH_EXPORT_SERIES": "50",
        "VIRTWATCH_METRICS_PORT": "9464",
    }
    read = AgentSettings.from_environment(env)
    assert isinstance(read, AgentSettings)
    assert read.export == ExportSettings(True, "0123456789abcdef", True, 50, 9464)
    refused = AgentSettings.from_environment({**env, "VIRTWATCH_EXPORT_HASH_KEY": "secret"})
    assert isinstance(refused, tuple)
    assert "secret" not in str(refused[0])


def test_an_attached_networks_namespace_and_name_are_hashed_and_a_bridges_are_not():
    names = Names("0123456789abcdef")
    attached = Subject("shop.lan", TargetRef(TargetKind.NETWORK, "attachment/shop/lan"), "node-1")
    told = names.subject(attached)
    assert told == names.subject(attached)
    assert told != names.subject(replace(attached, target=TargetRef(TargetKind.NETWORK, "attachment/shop/wan")))
    assert told.target.id.startswith("attachment/")
    assert not any(word in str(value) for word in ("shop", "lan") for value in target_attributes(told).values())
    bridge = Subject("br0", TargetRef(TargetKind.NETWORK, UUID), "node-1")
    assert names.subject(bridge) == bridge


def test_a_mount_point_of_a_guest_is_hashed_and_a_disk_is_not():
    names, clear = Names("0123456789abcdef"), Names()
    used = Sample(VM.target, Source.GUEST, "1", 0.0, 1.0, 1.0, {("filesystem.used", "/srv/payroll"): 5.0})
    [(key, device)] = names.sample(used).values
    assert (key, device) == ("filesystem.used", names.device("vm.filesystem.utilization", "/srv/payroll"))
    assert "payroll" not in device
    assert names.device("vm.disk.read.rate", "vda") == "vda"
    assert clear.sample(used) is used
    assert clear.device("vm.filesystem.utilization", "/srv") == "/srv"


def test_a_volume_of_a_pool_is_hashed_and_the_pools_own_figures_name_none():
    names = Names("0123456789abcdef")
    pool = TargetRef(TargetKind.STORAGE_POOL, UUID)
    values = {("pool.capacity", ""): 9.0, ("volume.capacity", "shop-web.qcow2"): 5.0}
    looked = names.sample(Sample(pool, Source.STORAGE, "1", 0.0, 1.0, 1.0, values))
    word = names.device("pool.volume.utilization", "shop-web.qcow2")
    assert set(looked.values) == {("pool.capacity", ""), ("volume.capacity", word)}
    assert "web" not in word
    alert = alert_attributes(fired("pool.volume.utilization", "shop-web.qcow2"), names)
    assert alert["virtwatch.alert.device"] == word


def fired(subject, device):
    """Return a transition of an alert about a device, which names `subject` as what was judged."""
    alert = AlertKey(PolicyKey(PolicyKind.MONITOR_POLICY, "web-tier", "shop"), "full", VM.target, device)
    seen = Evidence(subject, 0.9, 0.8, "90 %")
    return Transition(1, alert, Action.FIRED, Reason.BREACH, Severity.WARNING, None, 2.0, 1.0, VM, seen)


def test_a_mount_point_is_hashed_whatever_a_rule_judges_first():
    """A condition's evidence names the first comparison that holds; the device may be another's."""
    names, clear = Names("0123456789abcdef"), Names()
    word = names.of("/home/alice")
    for subject in ("vm.cpu.utilization", "vm.disk.read.rate", "vm.filesystem.utilization", "vm.io_error", "later.one"):
        assert alert_attributes(fired(subject, "/home/alice"), names)["virtwatch.alert.device"] == word, subject
        assert alert_attributes(fired(subject, "/home/alice"), clear)["virtwatch.alert.device"] == "/home/alice"
    on_windows = alert_attributes(fired("vm.disk.read.rate", "D:\\Payroll"), names)
    assert on_windows["virtwatch.alert.device"] == names.of("D:\\Payroll")
    assert alert_attributes(fired("vm.disk.read.rate", "vda"), names)["virtwatch.alert.device"] == "vda"


def test_an_alerts_id_is_the_word_that_the_operator_uses():
    """So that its trace still joins; the id itself is a SHA-256 without the key, in which words could be tried."""
    item = fired("vm.filesystem.utilization", "/home/alice")
    key = "0123456789abcdef"
    word = HashedNames(key).of(item.alert.id)
    assert alert_attributes(item, Names(key))["virtwatch.alert.id"] == word != item.alert.id
    assert alert_attributes(item, Names())["virtwatch.alert.id"] == item.alert.id


def test_a_source_that_is_not_asked_any_more_cuts_nothing():
    held = metrics(ExportSettings(most_series=1))
    held.render([sample({RSS: 1.0, NIC: 2.0}), replace(sample({CPU: 1.0}), source=Source.BALLOON)])
    assert held.cut == 2
    held.render([sample({RSS: 1.0}, at=300.0)])
    assert held.cut == 1
    held.render([sample({RSS: 1.0}, at=500.0)])
    assert held.cut == 0
