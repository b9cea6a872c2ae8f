from virtwatch_agent.collect.libvirt import high_water
from virtwatch_agent.collect.libvirt.high_water import HighWater

GIB = float(1 << 30)
VOLUMES = {"vda": "/dev/root"}
FULL = {("disk.room", "vda"): 3 * GIB, ("disk.allocation", "vda"): 2.9 * GIB}
STARTED = {("disk.room", "vda"): 3 * GIB}


def test_a_thin_disk_on_a_volume_is_as_full_after_a_restart() -> None:
    marks = HighWater()
    assert marks.keep("u", VOLUMES, FULL) == FULL

    assert marks.keep("u", VOLUMES, STARTED) == FULL
    assert marks.keep("u", VOLUMES, {**STARTED, ("disk.allocation", "vda"): 4096.0}) == FULL
    higher = {**STARTED, ("disk.allocation", "vda"): 2.95 * GIB}
    assert marks.keep("u", VOLUMES, higher) == higher


def test_what_was_never_seen_is_not_known() -> None:
    assert HighWater().keep("u", VOLUMES, STARTED) == STARTED


def test_another_volume_or_vm_begins_anew_and_a_larger_one_does_not() -> None:
    marks = HighWater()
    marks.keep("u", VOLUMES, FULL)

    assert marks.keep("w", VOLUMES, STARTED) == STARTED
    grown = {("disk.room", "vda"): 6 * GIB}
    assert marks.keep("u", VOLUMES, grown) == {**grown, ("disk.allocation", "vda"): 2.9 * GIB}
    assert marks.keep("u", {"vda": "/dev/other"}, STARTED) == STARTED


def test_disks_that_lie_on_no_volume_are_as_libvirt_says() -> None:
    marks = HighWater()
    marks.keep("u", {}, FULL)
    assert marks.keep("u", {}, STARTED) == STARTED


def test_it_forgets_those_that_were_asked_longest_ago(monkeypatch) -> None:
    monkeypatch.setattr(high_water, "_MOST_DISKS", 2)
    marks = HighWater()
    for uuid in ("a", "b", "a", "c"):
        marks.keep(uuid, VOLUMES, FULL)

    assert marks.keep("b", VOLUMES, STARTED) == STARTED
    assert marks.keep("a", VOLUMES, STARTED) == FULL
