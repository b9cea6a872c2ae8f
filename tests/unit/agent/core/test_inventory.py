from dataclasses import replace

import pytest

from virtwatch_agent.core.inventory import Inventory
from virtwatch_agent.inventory.records import DomainRecord
from virtwatch_agent.journal.store import Restored
from virtwatch_agent.observations import Appeared, Domain, DomainState, FoundStopped, KubernetesIdentity
from virtwatch_api.targets import Subject, vm_ref

DB = Domain("uuid-1", "db-1", "qemu:///system", "1", DomainState.RUNNING)


def restarted() -> Inventory:
    inventory = Inventory("n1")
    inventory.restore(Restored("e", 0, (), (), (DomainRecord(DB, None),)), clock=100.0)
    return inventory


def test_a_vm_that_is_not_found_again_after_a_restart_is_missing_once() -> None:
    inventory = restarted()

    assert inventory.missing(clock=129.0, lost=lambda _: False) == {}
    assert inventory.missing(clock=130.0, lost=lambda _: False) == {"uuid-1": None}
    assert inventory.missing(clock=131.0, lost=lambda _: False) == {}


def test_a_vm_whose_connection_cannot_be_seen_is_not_taken_for_stopped() -> None:
    inventory = restarted()

    assert inventory.missing(clock=500.0, lost=lambda name: name == "qemu:///system") == {}
    assert inventory.awaits("uuid-1")
    assert inventory.missing(clock=529.0, lost=lambda _: False) == {}
    assert inventory.missing(clock=530.0, lost=lambda _: False) == {"uuid-1": None}


CRASH = FoundStopped("uuid-1", "qemu:///system", "crashed", crashed=True)


def test_a_vm_that_its_libvirt_lists_as_stopped_is_not_waited_for() -> None:
    inventory = restarted()

    inventory.found_stopped(replace(CRASH, connection="qemu:///session"))  # not its own
    inventory.found_stopped(replace(CRASH, uuid="uuid-2"))
    assert inventory.missing(clock=101.0, lost=lambda _: False) == {}
    inventory.found_stopped(CRASH)

    assert inventory.missing(clock=101.0, lost=lambda _: False) == {"uuid-1": CRASH}
    inventory.found_stopped(CRASH)
    assert inventory.missing(clock=130.9, lost=lambda _: False) == {}


def test_a_vm_in_a_pod_that_has_stopped_may_have_gone_on_to_another_node() -> None:
    inventory = Inventory("n1")
    inventory.restore(Restored("e", 0, (), (), (DomainRecord(replace(DB, pod_uid="pod-1"), None),)), clock=100.0)
    inventory.found_stopped(CRASH)

    assert inventory.missing(clock=129.0, lost=lambda _: False) == {}
    assert inventory.missing(clock=130.0, lost=lambda _: False) == {"uuid-1": CRASH}


def test_a_vm_that_crashed_and_runs_elsewhere_is_told_as_both_whoever_is_heard_first() -> None:
    again = Appeared(replace(DB, connection="pod/b", incarnation="2"), 110.0, "booted")
    crash_first, start_first = restarted(), restarted()
    for inventory in (crash_first, start_first):
        inventory.found_stopped(CRASH)

    assert [event.type for event in start_first.appear(again)[1]] == [
        "vm.crashed",
        "vm.stopped",
        "vm.started",
    ]
    assert list(crash_first.missing(clock=101.0, lost=lambda _: False).values()) == [CRASH]
    assert [event.type for event in crash_first.appear(again)[1]] == ["vm.started"]


def test_while_no_policy_is_known_no_vm_is_missing() -> None:
    inventory = restarted()
    inventory.found_stopped(CRASH)

    assert inventory.missing(clock=500.0, lost=lambda _: False, judging=False) == {}
    assert inventory.missing(clock=500.0, lost=lambda _: False) == {"uuid-1": CRASH}


def test_a_vm_that_was_missing_and_is_found_after_all_has_started() -> None:
    inventory = restarted()
    assert inventory.missing(clock=130.0, lost=lambda _: False) == {"uuid-1": None}

    _, inferred = inventory.appear(Appeared(replace(DB, incarnation="2"), 1.0))

    assert [event.type for event in inferred] == ["vm.started"]


def test_a_vm_that_is_found_again_is_awaited_no_more() -> None:
    inventory = restarted()

    machine, inferred = inventory.appear(Appeared(DB, 0.0))

    assert (machine.present, inferred) == (True, [])
    assert inventory.missing(clock=500.0, lost=lambda _: False) == {}


WEB = KubernetesIdentity("shop", "web-1", "vmi-1", ("pod-1",), {"tier": "web"}, {}, migration_target="n2")
CAME = Subject("shop_web-1", vm_ref("uuid-2"), "n2", "shop", "web-1", "vmi-1")


def test_an_alert_that_comes_for_a_vm_which_was_missing_waits_for_it_anew() -> None:
    inventory = restarted()
    inventory.missing(clock=130.0, lost=lambda _: False)
    machine = inventory.expect(replace(CAME, target=vm_ref("uuid-1")), clock=140.0)

    assert machine.domain.state is DomainState.RUNNING
    assert inventory.missing(clock=169.0, lost=lambda _: False) == {}
    assert inventory.missing(clock=170.0, lost=lambda _: False) == {"uuid-1": None}


def test_a_vm_of_which_only_an_alert_came_must_be_found_in_time() -> None:
    inventory = Inventory("n1")

    machine = inventory.expect(CAME, clock=100.0)

    assert not machine.known  # by what would its policies be chosen?
    assert str(machine.subject) == "shop/web-1"
    assert machine.subject.node == "n1"
    assert inventory.awaits("uuid-2")
    assert inventory.missing(clock=399.0, lost=lambda _: False) == {}
    assert inventory.missing(clock=400.0, lost=lambda _: False) == {"uuid-2": None}


def test_a_vm_of_plain_libvirt_of_which_an_alert_came_has_30_s() -> None:
    inventory = Inventory("n1")
    inventory.expect(Subject("web-1", vm_ref("uuid-2"), "n2"), clock=100.0)

    assert inventory.missing(clock=129.0, lost=lambda _: False) == {}
    assert inventory.missing(clock=130.0, lost=lambda _: False) == {"uuid-2": None}


def test_a_vm_has_30_s_from_when_the_api_first_names_it_here() -> None:
    inventory = Inventory("n1")
    inventory.expect(CAME, clock=100.0)

    for clock, identities in ((150.0, [WEB]), (160.0, []), (170.0, [WEB])):
        inventory.identify(identities, clock=clock)

    assert inventory.missing(clock=179.0, lost=lambda _: False) == {}
    assert inventory.missing(clock=180.0, lost=lambda _: False) == {"uuid-2": None}


def test_a_vm_that_the_api_named_here_before_its_alert_came_has_30_s() -> None:
    inventory = Inventory("n1")
    inventory.identify([WEB], clock=90.0)
    inventory.identify([], clock=95.0)

    inventory.expect(CAME, clock=100.0)

    assert inventory.missing(clock=130.0, lost=lambda _: False) == {"uuid-2": None}


def test_of_vmis_that_the_api_names_no_more_the_newest_are_remembered() -> None:
    inventory = Inventory("n1")
    for number in range(300):
        inventory.identify([replace(WEB, vmi_uid=f"vmi-{number}")], clock=0.0)
    subjects = {number: replace(CAME, target=vm_ref(f"uuid-{number}"), uid=f"vmi-{number}") for number in (0, 298)}
    for subject in subjects.values():
        inventory.expect(subject, clock=100.0)

    assert inventory.missing(clock=130.0, lost=lambda _: False) == {"uuid-298": None}


def test_a_restarted_agent_waits_as_long_for_a_vm_of_which_only_an_alert_came() -> None:
    inventory, machine = Inventory("n1"), Inventory("n1").expect(CAME, clock=0.0)
    record = DomainRecord(machine.domain, machine.identity)
    inventory.restore(Restored("e", 0, (), (), (record,)), clock=100.0)

    assert inventory.missing(clock=399.0, lost=lambda _: False) == {}
    assert inventory.missing(clock=400.0, lost=lambda _: False) == {"uuid-2": None}


def test_of_a_vm_that_was_never_seen_here_nothing_is_inferred_when_it_is() -> None:
    inventory = Inventory("n1")
    expected = inventory.expect(CAME, clock=100.0)
    inventory.identify([WEB], clock=0.0)

    domain = Domain("uuid-2", "shop_web-1", "pod", "77", DomainState.RUNNING, pod_uid="pod-1")
    machine, inferred = inventory.appear(Appeared(domain, 0.0))

    assert machine is expected
    assert (machine.known, machine.identity, inferred) == (True, WEB, [])
    assert inventory.missing(clock=500.0, lost=lambda _: False) == {}


def test_a_vm_that_is_here_is_not_waited_for() -> None:
    inventory = Inventory("n1")
    machine, _ = inventory.appear(Appeared(DB, 0.0))

    assert inventory.expect(Subject("db-1", vm_ref("uuid-1"), "n2"), clock=1.0) is machine
    assert not inventory.awaits("uuid-1")


@pytest.mark.parametrize(
    ("reason", "still_here", "to"),
    [
        ("migrated", True, "n2"),  # the API tells of it later
        ("migrated", False, "n2"),
        ("lost", False, "n2"),  # it went while nobody looked
        ("lost", True, ""),
        ("shutdown", False, ""),
    ],
)
def test_a_vm_that_is_gone_migrated_if_libvirt_or_the_api_says_so(reason: str, still_here: bool, to: str) -> None:
    inventory = Inventory("n1")
    domain = Domain("uuid-2", "shop_web-1", "pod", "77", DomainState.RUNNING, pod_uid="pod-1")
    inventory.identify([WEB], clock=0.0)
    machine, _ = inventory.appear(Appeared(domain, 0.0))
    if not still_here:
        inventory.identify([], clock=0.0)

    assert inventory.destination(machine, reason) == to


def migrated(inventory: Inventory, subject: Subject = CAME, *, to: str = "n3") -> None:
    """Let a VM have been here and gone on to another node."""
    pod = f"pod-of-{subject.target}"
    identity = KubernetesIdentity("shop", "web-1", subject.uid or "", (pod,), {}, {}, migration_target=to)
    inventory.identify([identity], clock=0.0)
    domain = Domain(subject.target.id, "shop_web-1", "pod", "77", DomainState.RUNNING, pod_uid=pod)
    machine, _ = inventory.appear(Appeared(domain, 0.0))
    inventory.identify([], clock=0.0)
    inventory.depart(machine, inventory.destination(machine, "migrated"))
    inventory.forget(subject.target.id)


def test_an_alert_that_comes_after_its_vm_has_gone_on_follows_it() -> None:
    inventory = Inventory("n2")
    migrated(inventory)

    machine = inventory.expect(CAME, clock=100.0)

    assert inventory.missing(clock=130.0, lost=lambda _: False) == {"uuid-2": None}
    assert inventory.destination(machine, "lost") == "n3"


def test_it_does_not_follow_another_vm_of_the_uuid_nor_one_that_came_back_and_stopped_here() -> None:
    inventory = Inventory("n2")
    migrated(inventory)
    other = inventory.expect(replace(CAME, uid="vmi-2"), clock=100.0)
    assert inventory.destination(other, "lost") == ""
    inventory.forget("uuid-2")

    back = Domain("uuid-2", "shop_web-1", "pod", "78", DomainState.RUNNING, pod_uid="pod-1")
    inventory.appear(Appeared(back, 0.0))
    inventory.identify([replace(WEB, migration_target="")], clock=0.0)  # the API tells of it later
    inventory.forget("uuid-2")
    inventory.identify([], clock=0.0)
    assert inventory.destination(inventory.expect(CAME, clock=200.0), "lost") == ""


def test_of_those_that_have_gone_on_the_newest_are_remembered() -> None:
    inventory = Inventory("n2")
    subjects = [replace(CAME, target=vm_ref(f"uuid-{number}")) for number in range(300)]
    for subject in subjects:
        migrated(inventory, subject)

    first, last = (inventory.expect(subjects[number], clock=0.0) for number in (0, -1))

    assert [inventory.destination(machine, "lost") for machine in (first, last)] == ["", "n3"]


def found(state: DomainState, reason: str, *, before: DomainState = DomainState.RUNNING, incarnation: str = "1"):
    """Return what is inferred of a VM, and with which reason, when it is found like this after a gap."""
    inventory = Inventory("n1")
    inventory.restore(Restored("e", 0, (), (), (DomainRecord(replace(DB, state=before), None),)), clock=100.0)
    now = replace(DB, state=state, incarnation=incarnation)
    _, inferred = inventory.appear(Appeared(now, 0.0, reason))
    return [(event.type, event.attributes.get("reason")) for event in inferred]


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        (DomainState.PAUSED, "watchdog", ("vm.paused", "watchdog")),
        (DomainState.PAUSED, "postcopy", ("vm.paused", "postcopy")),
        (DomainState.PAUSED, "", ("vm.paused", "unknown")),  # nobody said why
        (DomainState.CRASHED, "panicked", ("vm.crashed", "panicked")),
    ],
)
def test_what_happened_while_nobody_looked_has_the_reason_that_libvirt_still_tells(
    state: DomainState, reason: str, said: tuple[str, str]
) -> None:
    assert found(state, reason) == [said]


def test_a_vm_that_came_in_by_a_migration_while_nobody_looked_is_told_as_such() -> None:
    assert found(DomainState.RUNNING, "migrated", before=DomainState.PAUSED) == [("vm.resumed", "migrated")]
    assert found(DomainState.RUNNING, "booted", before=DomainState.PAUSED) == [("vm.resumed", None)]


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        (DomainState.RUNNING, "booted", [("vm.started", "booted")]),
        (DomainState.RUNNING, "migrated", [("vm.started", "migrated")]),
        (DomainState.PAUSED, "migration", [("vm.started", "migrated"), ("vm.paused", "migration")]),
        (DomainState.PAUSED, "user", [("vm.started", "unknown"), ("vm.paused", "user")]),
    ],
)
def test_a_new_qemu_that_nobody_saw_start_tells_how_it_started(
    state: DomainState, reason: str, said: list[tuple[str, str]]
) -> None:
    assert found(state, reason, incarnation="2") == [("vm.stopped", "unknown"), *said]


@pytest.mark.parametrize(("before", "now"), [("id-3", "42-500"), ("42-500", "id-3")])
def test_a_vm_whose_process_was_not_found_has_not_restarted(before: str, now: str) -> None:
    inventory = Inventory("n1")
    inventory.restore(Restored("e", 0, (), (), (DomainRecord(replace(DB, incarnation=before), None),)), clock=100.0)
    _, inferred = inventory.appear(Appeared(replace(DB, incarnation=now), 0.0, "booted"))
    assert inferred == []


def test_a_vm_that_ended_unnamed_is_kept_for_30_s_and_no_longer() -> None:
    inventory = Inventory("n1")
    machine, _ = inventory.appear(Appeared(replace(DB, pod_uid="pod-1"), 5.0))
    inventory.await_name(machine, clock=100.0)

    assert inventory.unnamed(clock=129.0) == []
    assert inventory.awaits("uuid-1")
    assert inventory.unnamed(clock=130.0) == [machine]
    assert inventory.unnamed(clock=131.0) == []
    assert not inventory.awaits("uuid-1")
