# What is said of a domain, from what is heard and what is listed.
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from virtwatch_agent.collect.libvirt.domain_tracker import DomainTracker
from virtwatch_agent.collect.libvirt.events import LifecycleEvent, Turn
from virtwatch_agent.inventory.gaps import DomainView
from virtwatch_agent.observations import Appeared, Domain, DomainState, TargetEvent, Unwatched, Vanished
from virtwatch_api.targets import vm_ref

RUNNING, PAUSED, CRASHED = DomainState.RUNNING, DomainState.PAUSED, DomainState.CRASHED


def seen(state=RUNNING, reason="booted", *, connection="host", incarnation="1-1"):
    domain = Domain(uuid="a", name="vm", connection=connection, incarnation=incarnation, state=state)
    return DomainView(domain, reason)


def events(observations):
    return [
        (said.type, said.attributes.get("reason") or said.attributes.get("action"), said.inferred)
        for said in observations
        if isinstance(said, TargetEvent)
    ]


def known(*views) -> DomainTracker:
    them = DomainTracker()
    for view in views or (seen(),):
        them.saw(view, at=0.0, new=False)
    return them


def test_what_is_there_at_the_start_appears_and_nothing_is_said_to_have_happened():
    assert DomainTracker().saw(seen(), at=5.0, new=False) == [Appeared(seen().domain, 5.0, "booted")]


def test_a_vm_that_is_paused_by_an_io_error_at_the_start_tells_its_error():
    said = DomainTracker().saw(seen(PAUSED, "ioerror"), at=5.0, new=False)
    assert events(said) == [("vm.io_error", "pause", True)]


def test_a_pause_is_said_and_so_is_its_end():
    them = known()
    paused = them.received("host", "a", LifecycleEvent(Turn.PAUSED, "user"), at=1.0)
    assert paused[0] == Appeared(replace(seen().domain, state=PAUSED), 1.0, "user")
    assert events(paused) == [("vm.paused", "user", False)]
    assert events(them.received("host", "a", LifecycleEvent(Turn.RESUMED, ""), at=2.0)) == [("vm.resumed", None, False)]


def test_libvirt_says_resumed_before_started_and_we_do_not():
    them = DomainTracker()
    assert them.received("host", "a", LifecycleEvent(Turn.RESUMED, ""), at=1.0) == []
    assert events(them.started(seen(), "booted", at=1.0)) == [("vm.started", "booted", False)]


def test_a_start_in_the_paused_state_tells_the_pause_once():
    them = DomainTracker()
    said = them.started(seen(PAUSED, "user"), "booted", at=1.0)
    assert events(said) == [("vm.started", "booted", False), ("vm.paused", "user", True)]
    assert them.received("host", "a", LifecycleEvent(Turn.PAUSED, "user"), at=1.0) == []


def test_a_start_that_the_listing_inferred_is_not_said_again():
    them = DomainTracker()
    assert events(them.saw(seen(), at=1.0, new=True)) == [("vm.started", "booted", True)]
    assert events(them.started(seen(), "booted", at=1.1)) == []


def test_a_start_that_is_heard_after_the_first_listing_showed_the_vm_is_said():
    them = known(seen(PAUSED, "starting"))
    said = them.started(seen(PAUSED, "user"), "booted", at=1.1)
    assert events(said) == [("vm.started", "booted", False), ("vm.paused", "user", True)]


def test_a_requested_stop_is_a_stop_and_no_crash():
    said = known().received("host", "a", LifecycleEvent(Turn.STOPPED, "shutdown"), at=1.0)
    assert events(said) == [("vm.stopped", "shutdown", False)]
    assert said[-1] == Vanished("a", 1.0, "shutdown")


def test_a_killed_qemu_is_a_crash_and_a_stop():
    said = known().received("host", "a", LifecycleEvent(Turn.STOPPED, "failed"), at=1.0)
    assert events(said) == [("vm.crashed", "failed", False), ("vm.stopped", "failed", False)]


def test_a_panic_that_destroys_the_vm_is_one_crash():
    them = known()
    panic = them.received("host", "a", LifecycleEvent(Turn.CRASHED, "panicked"), at=1.0)
    stop = them.received("host", "a", LifecycleEvent(Turn.STOPPED, "crashed"), at=1.1)
    assert events(panic + stop) == [("vm.crashed", "panicked", False), ("vm.stopped", "crashed", False)]


def test_a_preserved_crash_leaves_the_vm_there_and_crashed():
    them = known()
    assert them.received("host", "a", LifecycleEvent(Turn.CRASHED, "panicked"), at=1.0)[0] == Appeared(
        replace(seen().domain, state=CRASHED), 1.0, "panicked"
    )
    assert them.on("host") == ["a"]


def test_a_guest_that_writes_its_own_dump_crashed_and_runs_on():
    said = known().received("host", "a", LifecycleEvent(Turn.CRASHED, "crashloaded"), at=1.0)
    assert said == [TargetEvent("vm.crashed", vm_ref("a"), 1.0, {"reason": "crashloaded"})]


def test_what_happened_while_nobody_looked_is_inferred():
    def after(before, now):
        return events(known(before).saw(now, at=9.0, new=True))

    assert after(seen(), seen(PAUSED, "user")) == [("vm.paused", "user", True)]
    assert after(seen(PAUSED, "user"), seen()) == [("vm.resumed", None, True)]
    assert after(seen(), seen(PAUSED, "ioerror")) == [("vm.paused", "ioerror", True), ("vm.io_error", "pause", True)]
    assert after(seen(), seen(PAUSED, "watchdog")) == [("vm.paused", "watchdog", True), ("vm.watchdog", "pause", True)]
    assert after(seen(), seen(CRASHED, "panicked")) == [("vm.crashed", "panicked", True)]
    assert after(seen(), seen(reason="unknown")) == []
    assert after(seen(PAUSED, "user"), seen(PAUSED, "user")) == []


def test_another_qemu_of_the_same_vm_means_that_it_stopped_and_started():
    said = known().saw(seen(incarnation="2-2"), at=9.0, new=True)
    assert events(said) == [("vm.stopped", "lost", True), ("vm.started", "booted", True)]


def test_a_vm_that_two_connections_show_is_told_by_the_first():
    them = known(seen(), seen(connection="qemu:///system"))
    assert them.received("qemu:///system", "a", LifecycleEvent(Turn.PAUSED, "user"), at=1.0) == []
    assert them.gone("qemu:///system", "a", "lost", at=2.0, inferred=True) == []
    assert them.on("host") == ["a"]


def test_the_target_of_a_local_migration_takes_over_when_the_source_is_gone():
    target = seen(PAUSED, "migration", connection="pod/b", incarnation="2-2")
    them = known(seen(), target)
    said = them.received("host", "a", LifecycleEvent(Turn.STOPPED, "migrated"), at=3.0)
    assert events(said) == [("vm.stopped", "migrated", False)]
    assert said[-2:] == [Vanished("a", 3.0, "migrated"), Appeared(target.domain, 3.0, "migration")]
    assert them.connection_of("a") == "pod/b"


TURNS = st.sampled_from(
    [
        LifecycleEvent(Turn.PAUSED, "user"),
        LifecycleEvent(Turn.PAUSED, "ioerror"),
        LifecycleEvent(Turn.RESUMED, ""),
        LifecycleEvent(Turn.CRASHED, "panicked"),
        LifecycleEvent(Turn.STOPPED, "failed"),
        LifecycleEvent(Turn.STOPPED, "shutdown"),
    ]
)


@given(st.lists(TURNS, max_size=20), st.integers(0, 20))
def test_a_gap_anywhere_leaves_the_same_knowledge_as_hearing_all(turns, gap_from):
    """Whoever listens all the time and whoever only lists at the end agree on what there is."""
    listener, sleeper = known(), known()
    for number, turn in enumerate(turns):
        listener.received("host", "a", turn, at=float(number))
        if number < gap_from:
            sleeper.received("host", "a", turn, at=float(number))
    now = listener.view("host", "a")
    if now is not None:
        sleeper.saw(now, at=99.0, new=True)
    else:
        sleeper.gone("host", "a", "lost", at=99.0, inferred=True)
    assert sleeper.view("host", "a") == now


@given(st.lists(TURNS, max_size=20))
def test_a_domain_vanishes_once_and_nothing_is_said_of_it_afterwards(turns):
    them, said = known(), []
    for number, turn in enumerate(turns):
        said += them.received("host", "a", turn, at=float(number))
    vanished = [index for index, one in enumerate(said) if isinstance(one, Vanished)]
    assert len(vanished) == any(turn.turn is Turn.STOPPED for turn in turns)
    assert vanished in ([], [len(said) - 1])


def test_a_vm_that_comes_in_by_a_live_migration_says_so_at_each_turn():
    them = DomainTracker()
    came = them.saw(seen(PAUSED, "migration"), at=1.0, new=True)
    goes_on = them.received("host", "a", LifecycleEvent(Turn.RESUMED, "migrated"), at=2.0)

    assert events(came) == [("vm.started", "migrated", True), ("vm.paused", "migration", True)]
    assert events(goes_on) == [("vm.resumed", "migrated", False)]


def test_a_vm_whose_coming_in_was_found_running_says_so_too():
    them = known(seen(PAUSED, "migration"))

    assert events(them.saw(seen(RUNNING, "migrated"), at=2.0, new=False)) == [("vm.resumed", "migrated", True)]


def test_a_vm_that_has_another_ones_uuid_is_named_while_it_cannot_be_watched():
    them = known(seen())
    namesake = DomainView(replace(seen().domain, name="dev_vm", connection="pod"), "booted")

    (said,) = them.saw(namesake, at=2.0, new=True)
    assert isinstance(said, Unwatched)
    assert (said.connection, said.uuid) == ("pod", "a")
    assert "VM dev_vm has the domain UUID of vm, a, and is not watched" in said.problem
    assert them.saw(namesake, at=3.0, new=True) == []

    over = them.gone("host", "a", "shutdown", at=4.0, inferred=False)
    assert over[-2:] == [Unwatched("a", "pod", 4.0), Appeared(namesake.domain, 4.0, "booted")]


def test_it_is_named_no_more_when_it_goes_itself():
    them = known(seen())
    them.saw(DomainView(replace(seen().domain, name="dev_vm", connection="pod"), "booted"), at=2.0, new=True)

    assert them.gone("pod", "a", "shutdown", at=4.0, inferred=False) == [Unwatched("a", "pod", 4.0)]


def test_of_two_on_one_connection_each_is_named():
    first, second = seen(), DomainView(replace(seen().domain, uuid="b"), "booted")
    them = known(first, second)
    namesakes = [
        DomainView(replace(item.domain, name=f"other_{item.domain.uuid}", connection="pod"), "booted")
        for item in (first, second)
    ]

    assert [said.uuid for item in namesakes for said in them.saw(item, at=2.0, new=True)] == ["a", "b"]
    assert them.gone("pod", "a", "shutdown", at=4.0, inferred=False) == [Unwatched("a", "pod", 4.0)]
    assert them.gone("pod", "b", "shutdown", at=5.0, inferred=False) == [Unwatched("b", "pod", 5.0)]


def test_the_same_vm_on_two_connections_is_no_trouble():
    them = known(seen())

    assert them.saw(seen(connection="again"), at=2.0, new=True) == []
