"""Which VMs are not asked while calls about others hang."""

from virtwatch_agent.collect.libvirt.hanging import Hanging

NFS = {f"n{number}": frozenset({"/mnt/nfs"}) for number in range(20)}
LOCAL = {f"l{number}": frozenset({"/var/lib/images"}) for number in range(20)}
PLACES = {**NFS, **LOCAL, **{f"o{number}": frozenset({f"/own/{number}"}) for number in range(20)}}


def hanging(*uuids: str, stopped: str = "") -> Hanging:
    """Let one call hang for each of these VMs."""
    made = Hanging(PLACES.__getitem__, lambda uuid: uuid == stopped)
    for uuid in uuids:
        made.began(f"call about {uuid}", [uuid])
    return made


def test_few_calls_that_hang_hold_nobody_back() -> None:
    assert hanging("n0", "n1", "n2").held(PLACES, now=0.0) == {}


def test_vms_on_a_storage_that_hangs_are_held_back_with_the_reason() -> None:
    held = hanging("n0", "n1", "n2", "l0").held(("n7", "l7", "o7"), now=0.0)

    assert held == {"n7": "calls about 3 VMs with disks on /mnt/nfs do not return"}


def test_a_storage_on_which_a_vm_answers_does_not_hang() -> None:
    calls = hanging("n0", "n1", "n2", "n3")
    calls.answered(["n4"])

    assert calls.held(("n7",), now=0.0) == {}


def test_a_vm_whose_qemu_is_stopped_is_held_back() -> None:
    assert hanging("o0", "o1", "o2", "o3", stopped="l7").held(("l7", "l8"), now=0.0) == {
        "l7": "its QEMU is stopped (SIGSTOP)"
    }


def test_no_more_than_so_many_calls_hang_whatever_the_reason() -> None:
    held = hanging(*(f"o{number}" for number in range(8))).held(("l7",), now=0.0)

    assert held == {"l7": "8 calls to its libvirt do not return, so that no more are made"}


def test_who_answers_is_asked_though_eight_calls_hang() -> None:
    calls = hanging(*(f"o{number}" for number in range(8)))
    calls.answered(["l0", "l1", "l2"])
    assert set(calls.held(("l0", "l1", "l7"), now=0.0)) == {"l7"}

    for number in range(8, 11):
        calls.began(number, [f"o{number}"])
    assert set(calls.held(("l0", "l1", "l7"), now=0.0)) == {"l7"}

    calls.began("bulk", ["l0", "l2"])
    assert set(calls.held(("l0", "l1", "l7"), now=0.0)) == {"l0", "l1", "l7"}, "twelve are enough"


def test_a_call_that_hangs_proves_nothing_against_the_others_of_it() -> None:
    calls = hanging(*(f"o{number}" for number in range(7)))
    calls.answered(["l0", "l1"])
    calls.began("bulk", ["l0", "l1", "l2"])

    calls.found("bulk", ["l0"])

    assert set(calls.held(("l0", "l1", "l2"), now=0.0)) == {"l0", "l2"}


def test_of_a_call_about_several_vms_only_those_count_that_it_waits_for() -> None:
    calls = hanging("o0", "o1", "n0")
    calls.began("bulk", ["n1", "l0", "l1", "l2"])
    assert calls.held(("l7", "n7"), now=0.0) == {}

    calls.found("bulk", ["n1"])
    assert set(calls.held(("l7", "n7"), now=0.0)) == {"n7"}


def test_a_call_that_returns_makes_room_again() -> None:
    calls = hanging("n0", "n1", "n2", "n3")
    assert set(calls.held(("n7",), now=0.0)) == {"n7"}

    calls.ended("call about n0")

    assert calls.held(("n7",), now=0.0) == {}


def test_who_answers_while_calls_hang_is_asked_first() -> None:
    calls = hanging("n0")
    calls.answered(["l0", "l1"])
    calls.began("another", ["l1"])

    assert calls.proven(("n1", "l0", "l1")) == ["l0"]

    calls.ended("another")
    calls.ended("call about n0")
    assert calls.proven(("l0",)) == []


def test_now_and_then_one_that_is_held_back_is_tried() -> None:
    calls = hanging("n0", "n1", "n2", "n3")
    wanted = ("n7", "n8", "n9")
    assert len(calls.held(wanted, now=0.0)) == 3
    assert len(calls.held(wanted, now=59.0)) == 3

    (tried,) = set(wanted) - calls.held(wanted, now=60.0).keys()
    assert set(wanted) - calls.held(wanted, now=119.0).keys() == {tried}, "it was not asked yet"

    calls.asked([tried])
    assert len(calls.held(wanted, now=119.0)) == 3
    assert len(calls.held(wanted, now=120.0)) == 2


def test_one_that_is_tried_and_gone_makes_room_for_another() -> None:
    calls = hanging("n0", "n1", "n2", "n3")
    calls.held(("n7",), now=0.0)
    assert calls.held(("n7",), now=60.0) == {}

    assert set(calls.held(("n8",), now=61.0)) == {"n8"}
    assert calls.held(("n8",), now=120.0) == {}


def test_vms_whose_qemu_is_stopped_make_no_storage_suspect() -> None:
    calls = Hanging(PLACES.__getitem__, lambda uuid: uuid in ("n0", "n1", "n2"))
    for uuid in ("n0", "n1", "n2", "n3"):
        calls.began(uuid, [uuid])

    assert calls.held(("n2", "n7"), now=0.0) == {"n2": "its QEMU is stopped (SIGSTOP)"}
