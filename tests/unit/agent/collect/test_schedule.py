# Due times with a clock that the test moves.
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from virtwatch_agent.collect.schedule import Schedule
from virtwatch_api.catalogue.readings import Source


def plan(schedule: Schedule, uuid: str, *, now: float, group: str = "host", **intervals: float) -> None:
    schedule.plan(uuid, group, {Source(name): seconds for name, seconds in intervals.items()}, now=now)


def run(schedule: Schedule, *, until: float) -> list[tuple[float, str, Source]]:
    found = []
    while (due := schedule.next_due()) is not None and due <= until:
        found += [(due, uuid, source) for uuid, source in schedule.due(due)]
    return found


def test_a_new_plan_is_due_at_once_and_then_each_interval():
    schedule = Schedule(phase=lambda _: 0.0)
    plan(schedule, "a", now=100.0, kernel=1.0)
    assert [at for at, _, _ in run(schedule, until=103.0)] == [100.0, 101.0, 102.0, 103.0]


def test_a_second_sample_that_would_come_too_soon_is_left_out():
    schedule = Schedule(phase=lambda _: 0.0)
    plan(schedule, "a", now=99.9, kernel=1.0)
    assert [at for at, _, _ in run(schedule, until=102.0)] == [99.9, 101.0, 102.0]


def test_the_domains_of_one_connection_are_due_together():
    schedule = Schedule(phase=lambda _: 0.37)
    plan(schedule, "a", now=0.0, block=10.0)
    plan(schedule, "b", now=4.0, block=10.0)
    run(schedule, until=12.0)
    assert set(schedule.due(schedule.next_due())) == {("a", Source.BLOCK), ("b", Source.BLOCK)}


def test_connections_are_spread_over_the_interval():
    schedule = Schedule()
    for number in range(200):
        plan(schedule, str(number), group=f"pod/{number}", now=0.0, kernel=1.0)
    run(schedule, until=5.0)
    tenths = Counter(int(at % 1.0 * 10) for at, _, _ in run(schedule, until=6.0))
    assert len(tenths) == 10
    assert max(tenths.values()) < 50


def test_a_source_that_is_not_planned_any_more_is_not_due():
    schedule = Schedule()
    plan(schedule, "a", now=0.0, kernel=1.0, block=5.0)
    plan(schedule, "a", now=0.0, kernel=1.0)
    assert {source for _, _, source in run(schedule, until=30.0)} == {Source.KERNEL}


def test_the_same_plan_again_changes_nothing():
    schedule = Schedule(phase=lambda _: 0.0)
    plan(schedule, "a", now=0.0, kernel=10.0)
    schedule.due(0.0)
    plan(schedule, "a", now=3.0, kernel=10.0)
    assert schedule.due(3.0) == []


def test_a_shorter_interval_holds_at_once():
    schedule = Schedule(phase=lambda _: 0.0)
    plan(schedule, "a", now=0.0, kernel=60.0)
    schedule.due(0.0)
    plan(schedule, "a", now=5.0, kernel=1.0)
    assert schedule.next_due() == 6.0


def test_what_was_missed_is_not_made_up_for():
    schedule = Schedule(phase=lambda _: 0.0)
    plan(schedule, "a", now=0.0, kernel=1.0)
    schedule.due(0.0)
    assert schedule.due(30.2) == [("a", Source.KERNEL)]
    assert schedule.due(30.2) == []
    assert schedule.next_due() == 31.0


def test_a_domain_that_was_dropped_is_never_due():
    schedule = Schedule()
    plan(schedule, "a", now=0.0, kernel=1.0, block=2.0)
    schedule.drop("a")
    assert schedule.next_due() is None


def test_hastening_brings_a_planned_source_forward_once():
    schedule = Schedule(phase=lambda _: 0.0)
    plan(schedule, "a", now=0.0, block=60.0)
    schedule.due(0.0)
    schedule.hasten("a", Source.BLOCK, 5.0)
    schedule.hasten("a", Source.BALLOON, 5.0)  # not planned: nothing to bring forward
    assert schedule.due(5.0) == [("a", Source.BLOCK)]
    assert schedule.next_due() == 60.0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["plan", "drop", "hasten", "due"]),
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from([0.5, 1.0, 7.0]),
            st.floats(0.0, 20.0),
        ),
        max_size=60,
    )
)
def test_whatever_happens_only_planned_domains_are_due_and_never_twice_at_once(steps):
    schedule, planned, now = Schedule(), set(), 0.0
    for step, uuid, interval, later in steps:
        now += later
        match step:
            case "plan":
                plan(schedule, uuid, now=now, kernel=interval)
                planned.add(uuid)
            case "drop":
                schedule.drop(uuid)
                planned.discard(uuid)
            case "hasten":
                schedule.hasten(uuid, Source.KERNEL, now)
            case "due":
                due = [uuid for uuid, _ in schedule.due(now)]
                assert len(due) == len(set(due))
                assert set(due) <= planned
                assert schedule.due(now) == []
        assert (schedule.next_due() is None) == (not planned)


def scattered(names: str, *, interval: float, within: float, group: str = "host") -> Schedule:
    schedule = Schedule()
    for name in names:
        schedule.scatter(name, {Source.KERNEL: within})
        plan(schedule, name, now=0.0, group=group, kernel=interval)
    return schedule


def test_each_interval_has_one_sample_at_a_random_instant_and_it_answers_its_end():
    schedule, answers, instants = scattered("a", interval=10.0, within=10.0), [], []
    while (due := schedule.next_due()) <= 4000.0:
        schedule.due(due)
        instants.append(due)
        answers.append(schedule.was_due("a", Source.KERNEL))

    assert answers == [10.0 * number for number in range(len(answers))]
    assert all(0.0 <= end - at <= 10.0 for at, end in zip(instants[1:], answers[1:], strict=True))
    assert min(later - earlier for earlier, later in pairwise(instants[1:])) >= 2.0 - 1e-9
    quarters = Counter(int(at % 10.0 / 2.5) for at in instants[1:])
    assert min(quarters.values()) > 60  # of 100 each


def test_load_that_comes_at_the_rate_of_sampling_cannot_hide():
    def loaded(at: float) -> bool:
        return at % 10.0 < 2.0  # a fifth of the time, in step with the interval

    regular = Schedule(phase=lambda _: 0.5)
    plan(regular, "a", now=5.0, kernel=10.0)
    assert not any(loaded(at) for at, _, _ in run(regular, until=4000.0))

    seen = [loaded(at) for at, _, _ in run(scattered("a", interval=10.0, within=10.0), until=4000.0)]
    assert 0.1 < sum(seen) / len(seen) < 0.3


def test_a_share_gives_each_vm_its_turn_and_looks_at_some_in_each_interval():
    names = "abcdefghijklmnopqrstuvwxyz"
    found = [item for item in run(scattered(names, interval=40.0, within=10.0), until=4000.0) if item[0] > 0.0]

    for name in names:
        turns = [int(at // 10.0) for at, uuid, _ in found if uuid == name]
        assert {later - earlier for earlier, later in pairwise(turns)} == {4}  # within 1/share intervals
    looked = Counter(int(at // 10.0) for at, _, _ in found)
    assert max(looked.values()) < len(names) / 2
    assert len({at for at, _, _ in found}) <= len(looked) + len(names)  # those of one turn share one bulk call


def test_what_is_scattered_can_be_regular_again():
    schedule = scattered("a", interval=10.0, within=10.0)
    run(schedule, until=100.0)
    schedule.scatter("a", {})
    plan(schedule, "a", now=100.0, kernel=10.0)
    run(schedule, until=120.0)
    later = [at for at, _, _ in run(schedule, until=200.0)]
    assert {round(second - first, 6) for first, second in pairwise(later)} == {10.0}
    assert schedule.was_due("a", Source.KERNEL) == later[-1]


def test_a_look_that_is_taken_once_more_moves_none_of_the_plan():
    schedule = Schedule(phase=lambda _: 0.0)
    plan(schedule, "a", now=0.0, kernel=10.0)
    schedule.due(0.0)
    schedule.once_more("a", Source.KERNEL, 3.5)
    schedule.once_more("a", Source.KERNEL, 12.0)  # the plan is sooner
    schedule.once_more("a", Source.BLOCK, 1.0)  # not planned
    assert schedule.next_due() == 3.5
    assert schedule.due(3.5) == [("a", Source.KERNEL)]
    assert schedule.was_due("a", Source.KERNEL) == 3.5
    assert [at for at, _, _ in run(schedule, until=30.0)] == [10.0, 20.0, 30.0]


def test_one_look_serves_an_instant_of_the_plan_and_one_more_before():
    schedule = Schedule(phase=lambda _: 0.0)
    plan(schedule, "a", now=0.0, kernel=10.0)
    schedule.due(0.0)
    schedule.once_more("a", Source.KERNEL, 9.5)
    assert schedule.due(10.2) == [("a", Source.KERNEL)]
    assert schedule.was_due("a", Source.KERNEL) == 10.0
