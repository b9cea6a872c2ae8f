"""What a VM of KubeVirt hangs on and holds: a network through Multus, a claimed disk, its guest's file system."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.installed.events import EventLog
from lab.kubevirt.claim import claim
from lab.kubevirt.vm import SUBRESOURCES, VirtualMachine
from lab.node.multus import Lan, multus_installed
from lab.process import wait_for
from lab.rundir import RunDir
from tests.e2e.kubevirt.watched import DEADLINE_S, NAMESPACE, Told, Watched, told_of_vm
from virtwatch_kube.paths import virtwatch

pytestmark = pytest.mark.timeout(900)
INSIDE, OUTSIDE = "inside", "outside"
NODE, LAN, CLAIM, STORAGE_CLASS = "node-1", "lan", "data", "fast"
# In policies a network is called NAMESPACE.NAME of its definition.
NETWORK = f"{NAMESPACE}.{LAN}"
# Half of the disk is a file in the guest's file system.
MOUNTED = "/data"
LEVELS = {
    "full": {"signal": "vm.filesystem.utilization", "warning": {"above": "40%"}},
    "thick": {"signal": "vm.disk.allocation.ratio", "warning": {"above": "40%"}},
}
# The first two fire as soon as anything is measured.
NETWORK_LEVELS = {
    "dropped": {"signal": "network.drops.rate", "warning": {"below": "1k"}},
    "wrong": {"signal": "network.errors.rate", "warning": {"below": "1k"}},
    "busy": {"signal": "network.throughput.rate", "warning": {"above": "10k"}},
    "down": {"signal": "network.active", "critical": {"below": "1"}},
}


@pytest.fixture(scope="module")
def lan(watched: Watched, run: RunDir) -> Iterator[Lan]:
    """Lay a LAN on the machine, to which Multus connects VMs by its definition."""
    made = Lan.make(run, LAN)
    with multus_installed(watched.cluster):
        _apply(watched, made.definition(NAMESPACE))
        yield made


@pytest.fixture(scope="module")
def vm(watched: Watched, lan: Lan) -> Iterator[VirtualMachine]:
    """Run a VM on the LAN, with a claimed disk and on it a file system of which its guest agent has told KubeVirt."""
    objects = claim(watched.cluster.nodes[NODE], CLAIM, namespace=NAMESPACE, storage_class=STORAGE_CLASS)
    _apply(watched, *objects)
    made = watched.vm("surroundings-1", lan=lan, claim=CLAIM)
    for request in ("data on", "agent on"):
        watched.ask(made, request)
    wait_for(lambda: _mounted(watched, made) == [MOUNTED], what="the guest agent's answer", deadline=DEADLINE_S)
    yield made
    made.delete()
    watched.kubectl("delete", "--wait=false", "-f", "-", input=_listed(*objects))


@pytest.fixture(scope="module")
def told(watched: Watched, vm: VirtualMachine) -> Iterator[Told]:
    """Judge the VM's disk and its guest's file system, and listen to the Events about it."""
    listening = told_of_vm(watched, vm)
    watched.put_in_force(INSIDE, *_rules(LEVELS), target={"names": [vm.spec.name]}, collection={"interval": "1s"})
    yield listening
    watched.forget(INSIDE)


@pytest.fixture
def judged(watched: Watched) -> Iterator[EventLog]:
    """Judge the network by a policy of the cluster, and listen to the Events about nodes."""
    spec = {"target": {"kind": "Network", "names": [NETWORK]}, "rules": _rules(NETWORK_LEVELS)}
    policy = {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "ClusterMonitorPolicy",
        "metadata": {"name": OUTSIDE},
        "spec": {**spec, "collection": {"interval": "1s"}},
    }
    with EventLog(watched.cluster.control_plane.kubeconfig, "default") as events:
        _apply(watched, policy)
        yield events
    watched.kubectl("delete", "clustermonitorpolicy", OUTSIDE)


def test_a_full_file_system_of_a_guest_fires_by_where_it_is_mounted(
    watched: Watched, vm: VirtualMachine, told: Told
) -> None:
    told.wait("full", "AlertWarning")

    alert = _wait_fires(watched, vm, "full")
    assert alert["target"] == f"{NAMESPACE}/{vm.spec.name} {MOUNTED}"
    assert 40 < float(alert["value"].removesuffix(" %")) < 70
    assert f"vm.filesystem.utilization of {MOUNTED} is {alert['value']}" in told.notes("full")[0]


def test_an_alert_on_a_disk_names_the_claim_and_the_storage_class_behind_it(
    watched: Watched, vm: VirtualMachine, told: Told
) -> None:
    told.wait("thick", "AlertWarning")

    behind = f"the disk is on PVC {CLAIM}, StorageClass {STORAGE_CLASS}"
    assert behind in told.notes("thick")[0]
    assert behind in _wait_fires(watched, vm, "thick")["alert"]


def test_the_network_that_a_vm_hangs_on_fires_while_busy_and_while_down(
    watched: Watched, vm: VirtualMachine, lan: Lan, judged: EventLog
) -> None:
    def wait(rule: str, reason: str) -> None:
        about = f"rule {rule} ", f"for network {NETWORK} on node {NODE}"

        def newest() -> str:
            told = judged.told(about=f"Node {NODE}")
            return next((event.reason for event in reversed(told) if all(part in event.note for part in about)), "")

        judged.wait(lambda: newest() == reason, what=f"{reason} of the rule {rule} on {NETWORK}", deadline=DEADLINE_S)

    watched.ask(vm, "net on")
    for rule in ("dropped", "wrong", "busy"):
        wait(rule, "AlertWarning")
    lan.set("down")
    wait("down", "AlertCritical")
    _wait_listed(watched, NETWORK, "down")
    lan.set("up")
    wait("down", "AlertResolved")
    watched.ask(vm, "net off")
    wait("busy", "AlertResolved")


def _wait_listed(watched: Watched, network: str, rule: str) -> None:
    """Return when the policy's status has the alert of a rule on a network."""

    def listed() -> bool:
        policy = watched.cluster.control_plane.get(virtwatch("clustermonitorpolicies", name=OUTSIDE))
        active = policy.get("status", {}).get("activeAlerts", [])
        return (network, rule, NODE) in [(alert["target"], alert["rule"], alert["node"]) for alert in active]

    wait_for(listed, what=f"the rule {rule} to fire for {network} in the policy's status", deadline=DEADLINE_S)


def _rules(levels: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "threshold": level} for name, level in levels.items()]


def _wait_fires(watched: Watched, vm: VirtualMachine, rule: str) -> dict[str, Any]:
    """Return the alert of a rule, once the policy's status has it."""
    found: list[dict[str, Any]] = []

    def fires() -> bool:
        found[:] = [alert for alert in watched.alerts(INSIDE, vm) if alert["rule"] == rule]
        return found != []

    wait_for(fires, what=f"the rule {rule} to fire for {vm.spec.name}", deadline=DEADLINE_S)
    return found[0]


def _mounted(watched: Watched, vm: VirtualMachine) -> list[str]:
    """Return where KubeVirt says that the guest's file systems are mounted."""
    path = f"{SUBRESOURCES}/namespaces/{NAMESPACE}/virtualmachineinstances/{vm.spec.name}/filesystemlist"
    return [item["mountPoint"] for item in watched.cluster.control_plane.get(path).get("items") or ()]


def _apply(watched: Watched, *documents: dict[str, Any]) -> None:
    watched.kubectl("apply", "-f", "-", input=_listed(*documents))


def _listed(*documents: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
