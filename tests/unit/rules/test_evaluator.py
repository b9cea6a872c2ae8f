from dataclasses import replace
from typing import NoReturn

import pytest

from tests.unit.rules.judged import POLICY, T0, Judged, effective, name
from virtwatch_api.alert import Action, AlertState
from virtwatch_api.policy import (
    Aggregate,
    AllOf,
    Bound,
    Comparison,
    ConditionRule,
    Enforcement,
    EventMatch,
    EventRule,
    Function,
    Level,
    MissingData,
    Severity,
    ThresholdRule,
    Timing,
)
from virtwatch_rules.alerts import Saved
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.condition import ConditionEngine
from virtwatch_rules.evaluator import Evaluator, judge_turn
from virtwatch_rules.inputs import Measured, Point

RSS = "vm.memory.rss"
BUSY = ThresholdRule(RSS, Aggregate(), Level(Bound.ABOVE, 100.0, 100.0), None, Timing())
CRASH = EventRule(Severity.CRITICAL, EventMatch("vm.crashed"), (), 3600.0)
FIRING = AlertState(severity=Severity.WARNING, since=T0 - 9, warning_since=T0 - 9)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_rule_waits_and_holds_its_time_though_the_clock_is_set(step: float) -> None:
    judged, ahead = Judged(replace(BUSY, timing=Timing(for_=10.0, keep_firing_for=10.0))), 0.0

    def see(value: float, second: int) -> list[object]:
        return judged.see(second + ahead, {RSS: value})

    for second in range(1, 5):
        assert see(150.0, second) == []
    ahead += step
    judged.evaluator.clock_set(step)
    assert [second for second in range(5, 15) if see(150.0, second)] == [11]
    assert see(50.0, 15) == []
    ahead += step
    judged.evaluator.clock_set(step)
    assert [second for second in range(16, 30) if see(50.0, second)] == [25]


def test_sums_do_not_change_with_another_policys_interval() -> None:
    total = replace(BUSY, aggregate=Aggregate(Function.SUM, 300.0), warning=Level(Bound.ABOVE, 1e9, 1e9))
    alone, beside = Judged(total, interval=15.0), Judged(total, interval=15.0)
    other = replace(BUSY, warning=Level(Bound.ABOVE, 1e9, 1e9))
    rules = {"r": effective(total, interval=15.0), "fast": effective(other, name="fast", interval=1.0)}
    list(beside.evaluator.apply(rules, [POLICY], at=T0))
    for second in range(600):
        beside.see(second, {RSS: 1.0})
        if second % 15 == 0:
            alone.see(second, {RSS: 1.0})

    def value(judged: Judged) -> list[float | None]:
        return [item.value for item in judged.evaluator._store.readings() if item.function is Function.SUM]

    assert value(alone) == value(beside) == [20.0]


def test_rules_that_ask_alike_share_a_window() -> None:
    average = replace(BUSY, aggregate=Aggregate(Function.AVG, 60.0))
    judged = Judged(average, replace(average, warning=Level(Bound.ABOVE, 5.0, 5.0)), BUSY, average)
    judged.see(1, {RSS: 1.0})

    assert len(list(judged.evaluator._store.readings())) == 2


def test_windows_that_nobody_asks_for_any_more_are_closed() -> None:
    judged = Judged(replace(BUSY, aggregate=Aggregate(Function.AVG, 60.0)))
    judged.see(1, {RSS: 1.0})
    budget = judged.evaluator._store._budget
    assert budget.used > 0

    judged.apply(CRASH)

    assert budget.used == 0


def test_it_asks_as_often_as_its_rules_need() -> None:
    judged = Judged(
        BUSY,
        replace(BUSY, signal="vm.cpu.utilization", aggregate=Aggregate(Function.AVG, 5.0)),
        replace(BUSY, signal="vm.memory.balloon", timing=Timing(for_=10.0)),
        replace(BUSY, signal="vm.memory.swap.rate", aggregate=Aggregate(Function.RATE, 20.0)),
        CRASH,
        interval=15.0,
    )

    assert judged.evaluator.intervals == {
        RSS: 15.0,
        "vm.cpu.utilization": 5.0,
        "vm.memory.balloon": 10.0,
        "vm.memory.swap.rate": 10.0,
    }
    assert judged.evaluator.event_types == {"vm.crashed"}


def test_the_alerts_of_a_rule_that_is_gone_end() -> None:
    judged = Judged(BUSY)
    judged.see(1, {RSS: 150.0})

    assert judged.apply(CRASH, at=2) == [("Resolved", "PolicyChanged")]
    assert judged.see(3, {RSS: 150.0}) == []


def test_the_alerts_of_a_policy_that_is_deleted_end() -> None:
    judged = Judged(BUSY)
    judged.see(1, {RSS: 150.0})

    assert [item.change.reason for item in judged.evaluator.apply({}, [], at=T0 + 2)] == ["PolicyDeleted"]


def test_an_alert_from_before_a_restart_whose_rule_is_gone_ends() -> None:
    judged = Judged()
    judged.evaluator.restore(name("other"), Saved("", FIRING))

    assert judged.apply(BUSY) == [("Resolved", "PolicyChanged")]


def test_a_policy_that_only_observes_leaves_nothing_to_keep() -> None:
    judged = Judged()
    list(judged.evaluator.apply({"r": effective(BUSY, enforcement=Enforcement.OBSERVE)}, [POLICY], at=T0))

    judged.see(1, {RSS: 150.0})

    assert [item.enforced for item in judged.said] == [False]
    assert list(judged.evaluator.records()) == []


def test_an_alert_that_leaves_takes_along_what_it_remembers() -> None:
    judged = Judged(replace(BUSY, timing=Timing(for_=60.0)), CRASH)
    judged.see(1, {RSS: 150.0})
    judged.event("vm.crashed", 1.5)
    before = {record.name: record.saved for record in judged.evaluator.records()}

    verdicts = list(judged.evaluator.leave(at=T0 + 2))

    assert {item.name: item.saved for item in verdicts} == before
    assert [item.change.action for item in verdicts] == ["HandedOver"] * 2
    assert list(judged.evaluator.records()) == []


def test_an_alert_on_how_this_place_sees_a_target_does_not_leave() -> None:
    judged = Judged(EventRule(Severity.WARNING, EventMatch("libvirt.lost"), ("libvirt.restored",), 60.0))
    judged.event("libvirt.lost")

    assert [item.change.reason for item in judged.evaluator.leave(at=T0 + 2)] == ["DomainStopped"]


def test_an_alert_judged_here_already_is_as_old_as_one_that_came() -> None:
    judged = Judged(BUSY)
    judged.see(1, {RSS: 150.0})

    judged.evaluator.restore(name(), Saved("", FIRING))

    assert judged.apply(BUSY, at=1) == []
    assert judged.state.since == FIRING.since


def test_what_was_seen_here_is_not_forgotten_for_what_came() -> None:
    judged = Judged(CRASH)
    judged.event("vm.crashed", 1.0)
    memory = {"last_at": T0 - 5}

    judged.evaluator.restore(name(), Saved("", FIRING, memory=memory))
    judged.apply(CRASH)

    (record,) = judged.evaluator.records()
    assert (record.saved.state.severity, record.saved.state.since) == (Severity.CRITICAL, FIRING.since)
    assert record.saved.memory["last_at"] == T0 + 1
    assert record.saved.evidence.subject == "vm.crashed"


def test_nothing_is_judged_while_alerts_are_on_their_way() -> None:
    judged = Judged(replace(BUSY, timing=Timing(missing_data=MissingData.RESOLVE)))
    judged.evaluator.restore(name(), Saved("", FIRING))
    judged.apply(replace(BUSY, timing=Timing(missing_data=MissingData.RESOLVE)))
    judged.evaluator.hold(T0 + 15)

    for second in range(1, 15):
        assert judged.see(second, {RSS: 50.0}) == judged.tick(second) == []
    assert judged.see(15, {RSS: 50.0}) == [("Resolved", "Recovered")]


def test_a_target_that_was_never_seen_takes_its_alerts_with_it() -> None:
    judged = Judged(present=False)
    judged.evaluator.restore(name(), Saved("", FIRING, memory={"outlives": True}))

    verdicts = list(judged.evaluator.vanish(at=T0 + 5, seen=False))

    assert [item.change.reason for item in verdicts] == ["DomainStopped"]


def test_a_turn_judges_many_targets_in_one_batch() -> None:
    budget, evaluators = WindowBudget(), []
    for _ in range(3):
        evaluator = Evaluator(budget)
        list(evaluator.appear(at=T0))
        list(evaluator.apply({"r": effective(BUSY)}, [POLICY], at=T0))
        evaluators.append(evaluator)
    values = [(0, 150.0), (1, 50.0), (2, 150.0), (0, 50.0)]
    looks = [
        (evaluators[index], Measured(T0 + 1 + number, [Point(RSS, "", value)]))
        for number, (index, value) in enumerate(values)
    ]

    verdicts = [(evaluators.index(who), item.change.action.value) for who, item in judge_turn(looks)]

    assert sorted(verdicts) == [(0, "Fired"), (0, "Resolved"), (2, "Fired")]


def test_a_rule_that_has_no_engine_is_left_alone() -> None:
    judged = Judged(object())  # type: ignore[arg-type]

    assert judged.see(1, {RSS: 150.0}) == judged.event("vm.crashed") == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_what_is_no_number_is_no_sample(value: float) -> None:
    judged = Judged(replace(BUSY, aggregate=Aggregate(Function.AVG, 5.0)))

    assert judged.see(1, {RSS: value}) == []
    assert judged.see(2, {RSS: 150.0}) == [("Fired", "Breach")]


def test_what_fired_is_reported_though_a_later_kind_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    both = AllOf((Comparison(RSS, Aggregate(), Level(Bound.ABOVE, 100.0, 100.0)),))
    judged = Judged(BUSY, ConditionRule(Severity.WARNING, both, Timing()))

    def fails(*_: object) -> NoReturn:
        raise RuntimeError

    monkeypatch.setattr(ConditionEngine, "points", fails)
    look, reported = Measured(T0 + 1, [Point(RSS, "", 150.0)]), list[Action]()
    with pytest.raises(RuntimeError):
        reported.extend(item.change.action for item in judged.evaluator.measured(look))
    assert reported == [Action.FIRED]
