"""A condition on signals of two sources of a real guest, from its kernel and its QEMU to Event and status."""

from collections.abc import Iterator

import pytest

from lab.installed.events import EventLog
from lab.installed.system import System
from lab.installed.virtualmachine import VirtualMachine

NAME = "busy-1"
ABOUT = f"VirtualMachineInstance {NAME}"
COMPUTES = {"signal": "vm.cpu.utilization", "above": "20%"}  # read from the host's kernel
WRITES = {"signal": "vm.disk.write.rate", "above": "100Ki"}  # asked of QEMU
SWAPS = {"signal": "vm.memory.swap.rate", "above": "1Mi"}  # told by the guest
BOTH = {
    "name": "computes-and-writes",
    "severity": "Critical",
    "condition": {"allOf": [COMPUTES, {"anyOf": [WRITES, SWAPS]}]},
}
COMPUTING = {
    "name": "computes",
    "threshold": {"signal": COMPUTES["signal"], "warning": {"above": COMPUTES["above"]}},
}


@pytest.fixture
def guest(system: System) -> Iterator[VirtualMachine]:
    made = system.add(NAME, linux=True)
    made.guest.wait_ready()
    made.launcher.prefer()
    yield made
    system.control_plane.kubectl("delete", "monitorpolicy", "--all", f"--namespace={system.namespace}")
    made.stop()
    system.machines.remove(made)


def firing(system: System) -> list[str]:
    return sorted(item["rule"] for item in system.status().get("firing", []) if item["subject"]["name"] == NAME)


def test_a_condition_of_two_sources_fires_when_both_hold(
    system: System, guest: VirtualMachine, events: EventLog
) -> None:
    target, collection = {"names": [NAME]}, {"interval": "1s"}
    system.put_in_force("both", BOTH, COMPUTING, target=target, collection=collection)

    guest.guest.busy(cpu=True)
    system.wait(lambda: "computes" in firing(system), what="the guest to be seen computing")
    assert firing(system) == ["computes"]

    guest.guest.busy(disk=True)
    events.wait(
        lambda: bool(events.told(about=ABOUT, reason="AlertCritical")), what="the condition's Event", deadline=60.0
    )
    (event,) = events.told(about=ABOUT, reason="AlertCritical")
    assert "vm.cpu.utilization" in event.note
    assert "vm.disk.write.rate" in event.note
    system.wait(
        lambda: system.policy("both")["status"].get("alerts", {}).get("critical") == 1, what="the policy to count it"
    )

    guest.guest.calm("disk")
    events.wait(
        lambda: any(BOTH["name"] in item.note for item in events.told(about=ABOUT, reason="AlertResolved")),
        what="the Event of the condition's end",
        deadline=60.0,
    )
    system.wait(lambda: firing(system) == ["computes"], what="the rule on one signal to fire alone")
