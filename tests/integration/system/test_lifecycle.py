"""What is done to VMs on purpose: a drain is reported once, a requested shutdown not at all."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.installed.system import READY_DEADLINE_S, System
from lab.installed.virtualmachine import VirtualMachine
from lab.process import wait_for
from tests.integration.system.watched import Watched
from virtwatch_kube.paths import EVENTS, resource

STOPPED = {"name": "stopped", "severity": "Warning", "event": {"type": "vm.stopped", "keepFiringFor": "2s"}}
VMS = 3
CRASHED = "crashed"
# What a shutdown must not be taken for.
NOISE = (
    *(
        {"name": name, "severity": "Warning", "event": {"type": event}}
        for name, event in ((CRASHED, "vm.crashed"), ("stuck", "vm.telemetry_stuck"), ("lost", "libvirt.lost"))
    ),
    {"name": "no-data", "threshold": {"signal": "vm.memory.rss", "warning": {"above": "1Ti"}, "missingData": "Alert"}},
)
TERMINATING = {"type": "Ready", "status": "False", "reason": "PodTerminating"}


def remove(system: System, vms: list[VirtualMachine]) -> None:
    """Take VMs away that a test has added."""
    for vm in vms:
        vm.stop()
        system.machines.remove(vm)


@pytest.fixture
def vms(system: System) -> Iterator[list[VirtualMachine]]:
    """Run VMs that are to be drained; afterwards the node is in use again."""
    made = [system.add(f"drained-{number}") for number in range(VMS)]
    for vm in made:
        vm.guest.resume()
    yield made
    remove(system, made)
    system.control_plane.kubectl("uncordon", system.node)


def drain(system: System, vms: list[VirtualMachine]) -> None:
    """Evict the pods of VMs, and write what KubeVirt does then of those that it cannot move; the agent knows it."""
    pods = f"--pod-selector=vm.kubevirt.io/name in ({','.join(vm.name for vm in vms)})"
    system.control_plane.kubectl("drain", system.node, pods, "--force")
    # What a label selects shows that the agent has read all that stands beside it.
    patch = json.dumps({"metadata": {"labels": {"drained": "yes"}}, "status": {"conditions": [TERMINATING]}})
    selector = {"matchLabels": {"drained": "yes"}}
    system.put_in_force("known", {**STOPPED, "name": "known"}, target={"selector": selector}, enforcement="Observe")
    for vm in vms:
        where = (f"--namespace={system.namespace}", "--type=merge", f"--patch={patch}")
        system.control_plane.kubectl("patch", "virtualmachineinstance", vm.name, *where)
    system.wait(lambda: selected(system, "known") == len(vms), what="the agent to know of the drain")


def selected(system: System, policy: str) -> int:
    """Return how many VMs a policy selects."""
    return int(system.policy(policy).get("status", {}).get("targets", {}).get("virtualMachines", 0))


def about_drain(system: System, namespace: str) -> dict[tuple[str, str], int]:
    """Return how often each Event of the drain was said, by what it regards and its reason."""
    path = resource(EVENTS, "events", namespace=namespace)
    found: dict[tuple[str, str], int] = {}
    for item in system.control_plane.get(path)["items"]:
        if "were evicted" in item.get("note", "") or "drained-" in item["regarding"]["name"]:
            what = item["regarding"]["kind"], item["reason"]
            found[what] = found.get(what, 0) + _count(item)
    return found


def _count(event: dict[str, Any]) -> int:
    return int((event.get("series") or {}).get("count", 1))


def test_vms_that_a_drain_ends_one_by_one_are_one_event(watched: Watched, vms: list[VirtualMachine]) -> None:
    system = watched.system
    system.put_in_force("drain", STOPPED, target={"names": ["drained-*"]})
    watched.wait_virtual_machines(len(system.machines))

    def counted(reason: str) -> int:
        return about_drain(system, system.namespace).get(("MonitorPolicy", reason), 0)

    drain(system, vms)
    for number, vm in enumerate(vms, start=1):
        vm.guest.destroy()
        system.wait(lambda number=number: counted("AlertsWarning") == number, what=f"VM {number} to be counted")

    whole = {"AlertsWarning": VMS, "AlertsResolved": VMS}
    own = {("VirtualMachineInstance", what): VMS for what in ("AlertWarning", "AlertResolved")}
    expected = {
        system.namespace: {**{("MonitorPolicy", what): count for what, count in whole.items()}, **own},
        "default": {("Node", what): count for what, count in whole.items()},
    }

    def told() -> dict[str, dict[tuple[str, str], int]]:
        return {namespace: about_drain(system, namespace) for namespace in expected}

    wait_for(
        lambda: told() == expected,
        what="all Events of the drain",
        deadline=READY_DEADLINE_S,
        process=system.agent,
        instead=lambda: str(told()),
    )


def test_a_vm_that_is_shut_down_on_request_makes_no_noise(watched: Watched) -> None:
    """What comes after it shows that nothing was still to come of it."""
    system = watched.system
    asked, crashes = system.add("asked-1"), system.add("crashes-1")
    for vm in (asked, crashes):
        vm.guest.resume()
    policy = {"target": {"names": ["asked-*", "crashes-*"]}, "collection": {"interval": "1s"}}
    system.put_in_force("noise", *NOISE, **policy)
    watched.wait_virtual_machines(len(system.machines))

    asked.guest.destroy()
    watched.wait_virtual_machines(len(system.machines) - 1)
    crashes.guest.kill_qemu()
    watched.wait_firing(CRASHED)

    system.wait(lambda: about(watched, crashes) == ["AlertWarning"], what="the crash to be reported")
    assert about(watched, asked) == []
    remove(system, [asked, crashes])


def about(watched: Watched, vm: VirtualMachine) -> list[str]:
    """Return the reasons of the Events about a VM."""
    return [event.reason for event in watched.events.told(about=f"VirtualMachineInstance {vm.name}")]
