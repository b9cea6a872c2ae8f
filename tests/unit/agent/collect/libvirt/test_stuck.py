import pytest

from virtwatch_agent.collect.libvirt.monitor import Occupied
from virtwatch_agent.collect.libvirt.stuck import Stuck
from virtwatch_agent.observations import TargetEvent


def occupied(stuck: Stuck, by: Occupied, now: float, *, clock_set_by: float = 0.0) -> list[TargetEvent]:
    return stuck.occupied("a", by, at=now + 1e9 + clock_set_by, now=now)


def test_a_monitor_that_is_busy_for_a_moment_is_not_stuck():
    stuck = Stuck(patience=3.0)
    assert occupied(stuck, Occupied(0.2), 100.0) == []
    assert "a" not in stuck


def test_a_stuck_monitor_is_said_once_with_how_long_it_has_been():
    stuck = Stuck(patience=3.0)
    said = [event for seconds in (43.0, 44.0, 45.0) for event in occupied(stuck, Occupied(seconds), 100.0)]
    assert [(event.type, event.attributes) for event in said] == [
        ("vm.telemetry_stuck", {"reason": "a monitor call has been pending for 43 s"})
    ]


def test_a_monitor_that_breaks_is_stuck_only_when_its_qemu_lives_on():
    stuck, broken = Stuck(patience=3.0), Occupied(0.0, broken=True)
    assert [event for at in (100.0, 101.0, 102.0) for event in occupied(stuck, broken, at)] == []
    [event] = occupied(stuck, broken, 103.0)
    assert event.attributes == {"reason": "the QEMU monitor has been broken for 3 s"}
    assert occupied(stuck, broken, 104.0) == []


def test_a_vm_that_is_held_back_is_stuck_with_the_reason():
    stuck, held = Stuck(patience=3.0), Occupied(0.0, held="calls about 4 VMs with disks on /mnt/nfs do not return")
    assert [event for at in (100.0, 102.0) for event in occupied(stuck, held, at)] == []
    [event] = occupied(stuck, held, 104.0)
    reason = "it has not been asked for 4 s: calls about 4 VMs with disks on /mnt/nfs do not return"
    assert event.attributes == {"reason": reason}
    stuck.free("a", 105.0)
    assert occupied(stuck, held, 106.0) == []


def test_recovery_is_said_once_and_only_of_what_was_stuck():
    stuck = Stuck(patience=3.0)
    assert stuck.free("a", 100.0) == []
    occupied(stuck, Occupied(9.0), 100.0)
    assert [event.type for event in stuck.free("a", 101.0)] == ["vm.telemetry_recovered"]
    assert stuck.free("a", 102.0) == []


def test_a_vm_that_is_gone_recovers_silently():
    stuck = Stuck(patience=3.0)
    occupied(stuck, Occupied(9.0), 100.0)
    stuck.forget("a")
    assert stuck.free("a", 101.0) == []


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_clock_that_is_set_changes_nothing(seconds: float) -> None:
    stuck, broken = Stuck(patience=3.0), Occupied(0.0, broken=True)
    occupied(stuck, broken, 100.0)
    assert occupied(stuck, broken, 101.0, clock_set_by=seconds) == []
    [event] = occupied(stuck, broken, 104.0, clock_set_by=seconds)
    assert event.attributes == {"reason": "the QEMU monitor has been broken for 4 s"}
