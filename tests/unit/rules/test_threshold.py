from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rules.judged import T0, Judged, name
from virtwatch_api.alert import AlertState
from virtwatch_api.policy import Aggregate, Bound, Function, Level, MissingData, Severity, ThresholdRule, Timing
from virtwatch_rules.alerts import Saved
from virtwatch_rules.inputs import Measured, Point

CPU = "vm.cpu.utilization"
LATENCY = "vm.disk.write.latency"
BUSY = ThresholdRule(CPU, Aggregate(), Level(Bound.ABOVE, 0.5, 0.4), Level(Bound.ABOVE, 0.9, 0.8), Timing())
SLOW = ThresholdRule(LATENCY, Aggregate(), Level(Bound.ABOVE, 0.1, 0.1), None, Timing())
FIRING = AlertState(severity=Severity.WARNING, since=T0 - 100, warning_since=T0 - 100)


def busy(timing: Timing | None = None, aggregate: Aggregate | None = None) -> ThresholdRule:
    return replace(BUSY, timing=timing or Timing(), aggregate=aggregate or Aggregate())


def said(rule: ThresholdRule, *values: float | None) -> list[tuple[int, str]]:
    """Judge a value each second; None is a second without one."""
    judged = Judged(rule)
    happened = []
    for second, value in enumerate(values):
        changes = judged.tick(second + 0.9) if value is None else judged.see(second, {CPU: value})
        happened += [(second, action) for action, _ in changes]
    return happened


def test_a_breach_fires_escalates_eases_and_resolves() -> None:
    assert said(BUSY, 0.1, 0.6, 0.95, 0.6, 0.1) == [(1, "Fired"), (2, "Escalated"), (3, "Eased"), (4, "Resolved")]


def test_recover_keeps_a_value_at_the_bound_from_flapping() -> None:
    assert said(BUSY, 0.6, 0.45, 0.6, 0.41, 0.55, 0.4) == [(0, "Fired"), (5, "Resolved")]


def test_the_bound_itself_is_not_a_breach() -> None:
    assert said(BUSY, 0.5) == []


def test_for_must_pass_without_a_break() -> None:
    assert said(busy(Timing(for_=2.0)), 0.6, 0.6, 0.1, 0.6, 0.6, 0.6) == [(5, "Fired")]


def test_keep_firing_for_outlasts_a_short_recovery() -> None:
    timing = Timing(keep_firing_for=3.0)
    assert said(busy(timing), 0.6, 0.1, 0.6, 0.1, 0.1, 0.1, 0.1) == [(0, "Fired"), (6, "Resolved")]


def test_the_evidence_is_a_sentence_with_value_and_bound() -> None:
    judged = Judged(BUSY)
    judged.see(0, {CPU: 0.95})

    evidence = judged.said[-1].evidence
    assert (evidence.value, evidence.bound) == (0.95, 0.9)
    assert evidence.text == "vm.cpu.utilization is 95 %, above 90 %"


def test_the_evidence_says_where_a_value_stands_now() -> None:
    judged, texts = Judged(BUSY), []
    for second, value in enumerate((0.6, 0.45)):
        judged.see(second, {CPU: value})
        evidence = judged.evaluator.evidence(name())
        assert evidence is not None
        texts.append(evidence.text.removeprefix("vm.cpu.utilization is "))

    assert texts == ["60 %, above 50 %", "45 %, not yet at or below 40 %"]


def test_what_comes_next_is_said() -> None:
    judged = Judged(busy(Timing(for_=60.0, keep_firing_for=120.0)))

    def next_step(at: float) -> str:
        return next(iter(judged.evaluator.explain(at=T0 + at))).next_step

    assert next_step(0) == "fires when above 50 % for 1m"
    judged.see(0, {CPU: 0.6})
    assert next_step(20) == "fires in 40s if it stays above 50 %"
    for second in range(1, 61):
        judged.see(second, {CPU: 0.6})
    assert next_step(60) == "resolves when at or below 40 % for 2m"
    judged.see(61, {CPU: 0.3})
    assert next_step(71) == "resolves in 110s if it stays at or below 40 %"


def test_missing_data_holds_resolves_or_alerts() -> None:
    held, resolved, raised = (Judged(busy(Timing(missing_data=choice))) for choice in MissingData)
    held.see(1, {CPU: 0.6})
    resolved.see(1, {CPU: 0.6})

    assert held.tick(100) == []
    assert held.state.firing
    assert resolved.tick(100) == [("Resolved", "NoData")]
    assert raised.tick(100) == [("Fired", "NoData")]


def test_a_late_sample_is_not_missing_data() -> None:
    judged = Judged(busy(Timing(missing_data=MissingData.RESOLVE)))
    judged.see(1, {CPU: 0.6})

    assert judged.tick(5.9) == []


def test_a_signal_that_never_had_data_fires_where_that_alerts() -> None:
    judged = Judged(busy(Timing(missing_data=MissingData.ALERT)), present=False)
    assert judged.tick(9) == []

    judged.appear(10)

    assert judged.tick(15.9) == []
    assert judged.tick(16) == [("Fired", "NoData")]  # the sample that was due at 15 may come until then
    assert judged.said[-1].evidence.text == "vm.cpu.utilization has had no data for 5 s"


def test_a_repeated_appearance_does_not_hide_silence() -> None:
    judged = Judged(busy(Timing(missing_data=MissingData.RESOLVE)))
    judged.see(1, {CPU: 0.6})

    judged.appear(5)

    assert judged.tick(7) == [("Resolved", "NoData")]


@pytest.mark.parametrize("late", [0.0, 0.0005, 0.4])
def test_lateness_of_samples_moves_no_timer(late: float) -> None:
    """`see` is given when a sample was due; that it came later shows in the ticks between."""
    judged, fired = Judged(busy(Timing(for_=30.0)), interval=15.0), []
    for second in count(0, 15):
        judged.tick(second + late)
        if judged.see(second, {CPU: 0.6}):
            fired.append(second)
        if second > 60:
            break

    assert fired == [30]


def test_bad_samples_around_a_gap_do_not_satisfy_for() -> None:
    judged = Judged(busy(Timing(for_=120.0)), interval=15.0)
    judged.see(0, {CPU: 0.6})
    for second in range(0, 3600, 1):
        judged.tick(second)

    assert judged.see(3600, {CPU: 0.6}) == []
    assert judged.state.warning_since == T0 + 3600


def test_for_does_not_run_through_a_gap_nobody_ticked_in() -> None:
    judged = Judged(busy(Timing(for_=120.0)), interval=15.0)
    judged.see(0, {CPU: 0.6})

    assert judged.see(3600, {CPU: 0.6}) == []
    assert judged.state.warning_since == T0 + 3600


def test_keep_firing_for_begins_anew_after_a_gap_that_holds() -> None:
    judged = Judged(busy(Timing(keep_firing_for=60.0)), interval=15.0)
    judged.see(0, {CPU: 0.6})
    judged.see(15, {CPU: 0.1})

    assert judged.see(3600, {CPU: 0.1}) == []
    assert judged.see(3615, {CPU: 0.1}) == judged.see(3630, {CPU: 0.1}) == judged.see(3645, {CPU: 0.1}) == []
    assert judged.see(3660, {CPU: 0.1}) == [("Resolved", "Recovered")]


def test_resolve_waits_for_the_window_and_for_keep_firing_for() -> None:
    timing = Timing(keep_firing_for=3.0, missing_data=MissingData.RESOLVE)
    judged = Judged(busy(timing, Aggregate(Function.AVG, 10.0)))
    judged.see(0, {CPU: 0.6})

    assert [second for second in range(1, 30) if judged.tick(second)] == [14]
    assert judged.said[-1].change.reason == "NoData"


def test_count_below_counts_none_as_zero() -> None:
    rare = ThresholdRule(CPU, Aggregate(Function.COUNT, 4.0), Level(Bound.BELOW, 3, 3), None, Timing())
    judged = Judged(rare)
    for second in range(4):
        judged.see(second, {CPU: 0.1})
    assert [item.change.action for item in judged.said] == ["Fired", "Resolved"]

    assert [second for second in range(4, 20) if judged.tick(second)] == [6]
    assert judged.evaluator.evidence(name()).value == 0.0  # type: ignore[union-attr]


def test_an_idle_disk_is_neither_slow_nor_missing() -> None:
    judged = Judged(replace(SLOW, timing=Timing(missing_data=MissingData.ALERT)))
    judged.see(1, {(LATENCY, "vda"): 0.15})

    assert judged.see(2, {(LATENCY, "vda"): None}) == [("Resolved", "Recovered")]
    assert judged.said[-1].evidence.text == "vm.disk.write.latency of vda has no value: there was no operation"
    for second in range(3, 40):
        assert judged.see(second, {(LATENCY, "vda"): None}) == judged.tick(second) == []


def test_an_idle_disk_is_slow_while_its_window_holds_an_operation() -> None:
    judged = Judged(replace(SLOW, aggregate=Aggregate(Function.AVG, 5.0)))
    judged.see(0, {(LATENCY, "vda"): 0.15})

    changed = [second for second in range(1, 12) if judged.see(second, {(LATENCY, "vda"): None})]

    assert changed == [5]


def disks(at: float, **values: float | None) -> Measured:
    points = [Point(LATENCY, device, value) for device, value in values.items()]
    return Measured(T0 + at, points, frozenset({LATENCY}), frozenset(values))


def test_the_alert_of_a_disk_that_is_unplugged_ends() -> None:
    judged = Judged(SLOW)
    judged.look(disks(1, vda=0.0, vdb=1.0))

    changed = [item for second in range(2, 40) for item in judged.look(disks(second, vda=0.0))]

    assert changed == [("Resolved", "NoData")]
    assert judged.said[-1].evidence.text == "vm.disk.write.latency of vdb: there is no vdb any more"


def test_a_disk_that_is_not_seen_for_a_moment_keeps_its_alert() -> None:
    judged = Judged(SLOW)
    judged.look(disks(1, vda=0.0, vdb=1.0))

    assert [item for second in range(2, 30) for item in judged.look(disks(second, vda=0.0))] == []
    assert judged.look(disks(30, vda=0.0, vdb=1.0)) == []


def test_an_unplugged_disk_fires_where_missing_data_alerts() -> None:
    judged = Judged(replace(SLOW, timing=Timing(missing_data=MissingData.ALERT)))
    judged.look(disks(1, vda=0.0, vdb=0.0))

    changed = [(second, item) for second in range(2, 80) for item in judged.look(disks(second, vda=0.0))]

    assert changed == [(6, ("Fired", "NoData"))]


def test_an_alert_that_came_ends_when_its_window_is_whole() -> None:
    rule = busy(aggregate=Aggregate(Function.AVG, 5.0))
    judged = Judged()
    judged.evaluator.restore(name(), Saved("", FIRING))
    assert judged.apply(rule) == []

    assert [second for second in range(1, 7) if judged.see(second, {CPU: 0.1})] == [5]
    assert judged.said[-1].change.since == FIRING.since


def test_a_longer_window_ends_no_alert_before_it_is_whole() -> None:
    judged = Judged(busy(aggregate=Aggregate(Function.AVG, 5.0)))
    judged.see(1, {CPU: 0.6})
    assert judged.apply(busy(aggregate=Aggregate(Function.AVG, 10.0)), at=1) == []

    assert [second for second in range(2, 14) if judged.see(second, {CPU: 0.1})] == [11]


def test_an_edit_that_leaves_the_window_alone_keeps_it() -> None:
    judged = Judged(busy(aggregate=Aggregate(Function.AVG, 5.0)))
    judged.see(1, {CPU: 0.6})
    judged.apply(replace(busy(aggregate=Aggregate(Function.AVG, 5.0)), warning=Level(Bound.ABOVE, 0.55, 0.55)), at=1)

    assert judged.see(2, {CPU: 0.1}) == [("Resolved", "Recovered")]


def test_an_alert_that_came_is_worsened_at_once() -> None:
    judged = Judged()
    judged.evaluator.restore(name(), Saved("", FIRING))
    judged.apply(busy(aggregate=Aggregate(Function.AVG, 5.0)))

    assert judged.see(1, {CPU: 0.95}) == [("Escalated", "Breach")]


levels = st.sampled_from([0.0, 0.3, 0.45, 0.6, 0.85, 0.95])


@given(
    st.lists(st.one_of(levels, st.none()), max_size=40),
    st.integers(0, 4).map(float),
    st.integers(0, 4).map(float),
    st.sampled_from([Aggregate(), *(Aggregate(item, 3.0) for item in Function if item is not Function.LAST)]),
    st.sampled_from(MissingData),
)
def test_a_judge_that_sleeps_misses_nothing(
    values: list[float | None], for_: float, keep: float, aggregate: Aggregate, missing: MissingData
) -> None:
    rule = busy(Timing(for_, keep, missing), aggregate)
    sleeping, awake = Judged(rule), Judged(rule)
    for second, value in enumerate(values):
        for reading in awake.evaluator._store.readings():
            for watch in reading.watches:
                watch.wake()
        for judged in (sleeping, awake):
            judged.tick(second + 0.9) if value is None else judged.see(second, {CPU: value})

    assert [item.change for item in sleeping.said] == [item.change for item in awake.said]
