"""What virtwatch makes of a VM that is not KubeVirt's: it must not depend on whether there is a KubeVirt."""

import json
from dataclasses import dataclass

from lab.guests.guest import Guest
from lab.installed.events import EventLog
from tests.e2e.kubevirt.watched import DEADLINE_S, Watched

POLICY, NODE = "plain", "node-1"
PAUSED = {
    "name": "paused",
    "severity": "Critical",
    "event": {"type": "vm.paused", "resolveOn": ["vm.resumed", "vm.stopped"]},
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the agents of node-1 and node-2 reported, and the reasons of the Events on node-1 while its VM paused."""

    kubevirt: bool
    machines: tuple[int, int]
    collecting: tuple[str, str]
    told: tuple[str, ...]


def see_plain(watched: Watched, guest: Guest) -> Seen:
    """Judge the VM of the plain libvirtd on node-1 by a policy of the cluster, pause it, and let it go on."""
    kubectl = watched.kubectl
    body = {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "ClusterMonitorPolicy",
        "metadata": {"name": POLICY},
        "spec": {"target": {"names": [guest.name]}, "rules": [PAUSED]},
    }
    kubectl("apply", "-f", "-", input=json.dumps(body))
    kubectl("wait", "--for=condition=Ready", f"clustermonitorpolicy/{POLICY}", f"--timeout={DEADLINE_S:g}s")
    with EventLog(watched.cluster.control_plane.kubeconfig, "default") as events:
        before = len(events.told(about=f"Node {NODE}"))

        def told() -> list[str]:
            return [event.reason for event in events.told(about=f"Node {NODE}")[before:] if guest.name in event.note]

        guest.pause()
        events.wait(lambda: told() == ["AlertCritical"], what=f"{guest.name} to fire", deadline=DEADLINE_S)
        guest.resume()
        events.wait(lambda: len(told()) == 2, what=f"the alert of {guest.name} to resolve", deadline=DEADLINE_S)
        said = tuple(told())
    statuses = [watched.node(name) for name in ("node-1", "node-2")]
    kubectl("delete", "clustermonitorpolicy", POLICY)
    first, second = statuses
    return Seen(
        kubevirt=kubectl("get", "crd", "virtualmachineinstances.kubevirt.io", check=False).returncode == 0,
        machines=(first["virtualMachines"], second["virtualMachines"]),
        collecting=(_condition(first, "Collecting"), _condition(second, "Collecting")),
        told=said,
    )


def _condition(status: dict[str, object], name: str) -> str:
    conditions = status.get("conditions", [])
    assert isinstance(conditions, list)
    return next(item["status"] for item in conditions if item["type"] == name)
