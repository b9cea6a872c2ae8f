"""KubeVirt's upgrade: its own parts are replaced, then each VM moves to a new launcher, and nobody hears of that."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from lab.guests.together import side_by_side
from lab.kubevirt.binaries import NAMESPACE as KUBEVIRT
from lab.kubevirt.vm import VirtualMachine
from lab.node import virtwatch
from lab.process import wait_for
from tests.e2e.kubevirt.watched import DEADLINE_S, Told, Watched, told_of_vm
from tests.integration.operator.receivers import Webhook, webhook
from virtwatch_kube.paths import EVENTS, resource

pytestmark = pytest.mark.timeout(1200)
UPGRADED, RUNS = "upgraded", "runs"
CHANNEL = "upgrades"
ONE_VM: dict[str, Any] = {"target": {"names": ["upgraded-1"]}, "notify": [{"channel": CHANNEL}]}
PARTS = ("daemonset/virt-handler", "deployment/virt-controller", "deployment/virt-api")
PARTS_DEADLINE_S = 300
# KubeVirt may notice the end of a migration late, above all with a virt-handler that has just started.
MOVED_DEADLINE_S = 255.0
# One that fires as long as the VM runs; it begins before the others are in force.
FIRES = {"name": RUNS, "severity": "Critical", "event": {"type": "vm.started", "resolveOn": ["vm.stopped"]}}


def _on(name: str, event: str) -> dict[str, Any]:
    return {"name": name, "severity": "Warning", "event": {"type": event}}


LIFE, ARRIVALS = "life", "arrived"
NOISE = (
    _on("started", "vm.started"),
    _on("stopped", "vm.stopped"),
    _on("crashed", "vm.crashed"),
    _on("paused", "vm.paused"),
    _on("stuck", "vm.telemetry_stuck"),
    _on("lost", "libvirt.lost"),
    {"name": "no-data", "threshold": {"signal": "vm.memory.rss", "warning": {"above": "1Ti"}, "missingData": "Alert"}},
)
ARRIVED = {
    "name": ARRIVALS,
    "severity": "Warning",
    "event": {"type": "vm.migration_completed", "where": {"role": "target"}},
}


@pytest.fixture(scope="module")
def channel(watched: Watched) -> Iterator[Webhook]:
    """Take what people would be sent."""
    namespace = f"--namespace={watched.namespace}"
    with webhook() as hook:
        address = f"json://{watched.cluster.network.publish(hook.port)}/upgrades"
        watched.kubectl("create", "secret", "generic", CHANNEL, namespace, f"--from-literal=url={address}")
        account = f"--serviceaccount={virtwatch.NAMESPACE}:virtwatch-operator"
        watched.kubectl("create", "rolebinding", CHANNEL, namespace, account, "--clusterrole=virtwatch-channel-secrets")
        body = {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": "NotificationChannel",
            "metadata": {"name": CHANNEL, "namespace": watched.namespace},
            "spec": {"type": "Webhook", "urlSecretRef": {"name": CHANNEL}, "groupWait": "1s"},
        }
        watched.kubectl("apply", "-f", "-", input=json.dumps(body))
        yield hook
        watched.kubectl("delete", "nchan,secret,rolebinding", CHANNEL, namespace)


@pytest.fixture
def vm(watched: Watched, channel: Webhook) -> Iterator[VirtualMachine]:
    """Run a VM of which one alert fires, and which any noise would make fire others."""
    watched.put_in_force(UPGRADED, FIRES, **ONE_VM)
    made = watched.vm("upgraded-1", disk=False)
    wait_for(lambda: titles(channel, RUNS) != [], what="the channel to be told", deadline=DEADLINE_S)
    watched.put_in_force(LIFE, *NOISE, collection={"interval": "1s"}, **ONE_VM)
    watched.put_in_force(ARRIVALS, ARRIVED, target=ONE_VM["target"])
    yield made
    made.delete()
    for policy in (UPGRADED, LIFE, ARRIVALS):
        watched.forget(policy)
    channel.posted.clear()


def titles(channel: Webhook, *rules: str) -> list[str]:
    """Return the titles of the messages, of those that name one of the rules."""
    found = [message["title"] for message in channel.messages]
    return [title for title in found if not rules or any(f" {rule}" in title for rule in rules)]


def test_an_upgrade_of_kubevirt_makes_no_noise(watched: Watched, vm: VirtualMachine, channel: Webhook) -> None:
    before, source = watched.wait_alert(UPGRADED, vm), vm.node
    known = identity(watched, source)
    of_vm, of_policy = told_of_vm(watched, vm), Told(watched, "MonitorPolicy", LIFE)
    sent, said = titles(channel), nodes_said(watched)

    side_by_side([partial(_replace, watched, part) for part in PARTS])
    target = vm.move()

    watched.wait_moved(UPGRADED, vm, to=target, deadline=MOVED_DEADLINE_S)
    of_vm.wait(ARRIVALS, "AlertWarning")
    [after] = watched.alerts(UPGRADED, vm)
    assert (before["node"], after["node"]) == (source, target)
    assert (after["since"], identity(watched, target)) == (before["since"], known)
    assert of_vm.of(RUNS) == []
    assert {rule["name"]: of_vm.of(rule["name"]) for rule in NOISE} == {rule["name"]: [] for rule in NOISE}
    assert [of_policy.of(rule["name"]) for rule in NOISE] == [[]] * len(NOISE)
    assert nodes_said(watched) == said
    assert titles(channel) == sent

    vm.stop()
    of_vm.wait("stopped", "AlertWarning")
    of_vm.wait(RUNS, "AlertResolved")
    assert of_vm.of("crashed") == []


def test_a_vm_that_is_stopped_as_soon_as_it_moved_has_stopped(watched: Watched, vm: VirtualMachine) -> None:
    told = told_of_vm(watched, vm)
    vm.move()

    vm.stop()

    told.wait("stopped", "AlertWarning")
    told.wait(RUNS, "AlertResolved")
    assert told.of("crashed") == []


def _replace(watched: Watched, part: str) -> None:
    """Replace the pods of a part of KubeVirt, as an upgrade does; return when the new ones are ready."""
    name, namespace = part.rpartition("/")[2], f"--namespace={KUBEVIRT}"
    watched.kubectl("delete", "pods", namespace, f"--selector=kubevirt.io={name}", f"--timeout={PARTS_DEADLINE_S}s")
    watched.kubectl("rollout", "status", part, namespace, f"--timeout={PARTS_DEADLINE_S}s")


def nodes_said(watched: Watched) -> set[str]:
    """Name the Events about Nodes: a silent one would be one of them."""
    events = watched.cluster.control_plane.get(resource(EVENTS, "events", namespace="default"))["items"]
    ours = [item for item in events if item.get("reportingController") == "virtwatch.io/operator"]
    return {item["metadata"]["name"] for item in ours}


def identity(watched: Watched, node: str) -> str:
    """Return what a node calls the alert that fires there."""
    [alert] = [alert for alert in watched.node(node)["firing"] if alert["rule"] == RUNS]
    return str(alert["id"])
