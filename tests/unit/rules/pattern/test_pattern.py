import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.agent_core.scripted import policy
from tests.unit.rules.judged import POLICY, T0, Judged
from virtwatch_api.policy import Absent, CountPattern, EventMatch, PatternRule, SequencePattern, Severity
from virtwatch_rules.pattern.history import MOST_EVENTS

CRASHED = EventMatch("vm.crashed")
LOOP = PatternRule(Severity.CRITICAL, CountPattern(CRASHED, 3, 600.0))
STARTED, FAILED = "vm.migration_started", "vm.migration_failed"
COMPLETED = "vm.migration_completed"
STUCK = PatternRule(Severity.WARNING, SequencePattern((EventMatch(STARTED), Absent((COMPLETED, FAILED))), 900.0))
BAD_START = PatternRule(
    Severity.WARNING,
    SequencePattern((EventMatch("vm.started"), Absent(("vm.stopped",)), EventMatch("vm.watchdog")), 60.0),
)
FIRED, OVER = ("Fired", "Event"), ("Resolved", "Expired")


def crash(judged: Judged, *times: float) -> list[object]:
    return [said for at in times for said in judged.event("vm.crashed", at)]


def test_enough_events_fire_once_and_expire_after_the_last() -> None:
    judged = Judged(LOOP)
    assert crash(judged, 0, 300) == []
    assert crash(judged, 599) == [FIRED]
    assert crash(judged, 800, 900) == []
    assert judged.tick(1499) == []
    assert judged.tick(1500) == [OVER]


def test_events_too_far_apart_are_no_pattern() -> None:
    assert crash(Judged(LOOP), 0, 300, 600, 900, 1200, 1500) == []


def test_an_event_that_comes_late_counts_by_its_own_time() -> None:
    judged = Judged(LOOP)
    assert crash(judged, 0, 500, 1000) == []
    assert crash(judged, 450) == [FIRED]


def test_an_event_that_is_repeated_counts_once() -> None:
    judged = Judged(LOOP)
    assert crash(judged, 0, 0, 0, 10, 10) == []
    assert crash(judged, 20) == [FIRED]


def test_events_found_after_a_gap_count_and_are_named() -> None:
    judged = Judged(LOOP)
    crash(judged, 0, 1)
    assert judged.event("vm.crashed", 2, inferred=True) == [FIRED]
    assert judged.said[-1].evidence.text == "3 times vm.crashed within 2s; 1 of them found after a gap"


def test_where_decides_which_events_count() -> None:
    judged = Judged(
        PatternRule(Severity.WARNING, CountPattern(EventMatch("vm.io_error", (("device", "vda"),)), 2, 60.0))
    )
    assert judged.event("vm.io_error", 0, device="vda") == judged.event("vm.io_error", 1, device="vdb") == []
    assert judged.event("vm.io_error", 2, device="vda") == [FIRED]


def test_a_crash_loop_is_seen_though_the_vm_is_gone_in_between() -> None:
    judged = Judged(LOOP)
    for at in (0, 60):
        crash(judged, at)
        judged.vanish(at + 1.0)
        judged.appear(at + 30.0)
    assert crash(judged, 120) == [FIRED]
    assert judged.vanish(121) == []
    assert judged.tick(720) == [OVER]


def test_a_storm_is_counted_in_bounded_memory() -> None:
    judged = Judged(PatternRule(Severity.WARNING, CountPattern(EventMatch("vm.rebooted"), 1000, 3600.0)))
    said = [item for at in range(3000) for item in judged.event("vm.rebooted", at * 0.5)]
    assert said == [FIRED]
    evidence = judged.evaluator.evidence(judged.said[-1].name)
    assert evidence is not None
    assert evidence.text.startswith(f"{MOST_EVENTS} or more times vm.rebooted")
    ((_, _, document),) = judged.evaluator.learned()
    assert len(document["events"]) == MOST_EVENTS


def test_what_does_not_come_in_time_fires_and_ends_when_it_comes() -> None:
    judged = Judged(STUCK)
    judged.event(STARTED, 0)
    assert judged.tick(899) == []
    assert judged.tick(900) == [FIRED]
    assert judged.said[-1].evidence.text == (
        "vm.migration_started, and no vm.migration_completed or vm.migration_failed within 15m"
    )
    assert judged.event(COMPLETED, 1300) == [("Resolved", "EventCleared")]


@pytest.mark.parametrize("end", [COMPLETED, FAILED])
def test_what_comes_in_time_is_no_absence(end: str) -> None:
    judged = Judged(STUCK)
    judged.event(STARTED, 0)
    judged.event(end, 899)
    assert judged.tick(900) == judged.tick(5000) == []


def test_a_backup_that_does_not_end_is_found_by_a_policy() -> None:
    steps = [{"type": "vm.backup_started"}, {"absent": ["vm.backup_completed", "vm.backup_failed"]}]
    (rule,) = policy({"name": "backup", "severity": "Warning", "pattern": {"sequence": steps, "within": "15m"}}).rules
    judged = Judged(rule.body)
    judged.event("vm.backup_started", 0, inferred=True)
    judged.event("vm.backup_completed", 600)
    judged.event("vm.backup_started", 1000, inferred=True)
    assert judged.tick(1899) == []
    assert judged.tick(1900) == [FIRED]
    assert judged.event("vm.backup_completed", 2000) == [("Resolved", "EventCleared")]


def test_an_end_that_is_heard_late_takes_the_alert_back() -> None:
    judged = Judged(STUCK)
    judged.event(STARTED, 0)
    judged.tick(900)
    assert judged.event(COMPLETED, 100) == [("Resolved", "EventCleared")]


def test_each_beginning_is_waited_for_by_itself() -> None:
    judged = Judged(STUCK)
    judged.event(STARTED, 0)
    judged.event(FAILED, 500)
    judged.event(STARTED, 600)
    assert judged.tick(900) == []
    assert judged.tick(1500) == [FIRED]


def test_absence_between_two_steps_breaks_the_sequence() -> None:
    judged = Judged(BAD_START)
    judged.event("vm.started", 0)
    judged.event("vm.stopped", 10)
    assert judged.event("vm.watchdog", 20) == []
    judged.event("vm.started", 30)
    assert judged.event("vm.watchdog", 50) == [FIRED]
    assert judged.tick(110) == [OVER]


def test_steps_count_in_the_order_in_which_they_happened() -> None:
    judged = Judged(BAD_START)
    assert judged.event("vm.watchdog", 10) == []
    assert judged.event("vm.started", 0) == [FIRED]


def test_a_restart_loses_no_event() -> None:
    judged, again = Judged(STUCK, LOOP), Judged()
    judged.event(STARTED, 0)
    crash(judged, 1, 2)
    for key, rule, document in judged.evaluator.learned():
        again.evaluator.teach(key, rule, json.loads(json.dumps(document)))
    again.apply(STUCK, LOOP)
    assert crash(again, 3) == [FIRED]
    assert sorted(again.tick(900)) == sorted([FIRED, OVER])


def test_a_vm_that_moves_takes_its_events_along() -> None:
    here, there = Judged(LOOP), Judged()
    crash(here, 0, 10)
    for learned in list(here.evaluator.learned()):
        there.evaluator.teach(*learned)
    list(here.evaluator.leave(at=T0 + 11))
    assert [document["events"] for _, _, document in here.evaluator.learned()] == [[]]
    there.apply(LOOP, at=12)
    assert crash(there, 20) == [FIRED]


def test_an_edit_of_the_number_keeps_the_events() -> None:
    judged = Judged(LOOP)
    crash(judged, 0, 10)
    judged.apply(replace(LOOP, pattern=CountPattern(CRASHED, 2, 600.0)), at=11)
    assert judged.tick(12) == [FIRED]


def test_what_cannot_be_read_is_left() -> None:
    judged = Judged(LOOP)
    for document in ({}, {"version": 9}, {"version": 1, "events": [[1]], "cut": 0}, {"version": 1, "events": 3}):
        judged.evaluator.teach(POLICY, "r", document)
    assert crash(judged, 0, 1, 2) == [FIRED]


def test_the_next_step_says_what_is_missing() -> None:
    judged = Judged(STUCK, LOOP)
    judged.event(STARTED, 0)
    crash(judged, 1)
    steps = {item.name.rule: item.next_step for item in judged.evaluator.explain(at=T0 + 60)}
    assert steps == {
        "r": "fires in 14m if vm.migration_completed or vm.migration_failed does not come",
        "r1": "1 of 3 vm.crashed in the last 10m",
    }


@given(st.sets(st.integers(0, 3000), min_size=3, max_size=40), st.randoms(use_true_random=False))
def test_the_order_in_which_events_arrive_changes_nothing(times: set[int], rng: random.Random) -> None:
    shuffled = sorted(times)
    rng.shuffle(shuffled)
    ordered, other = (Judged(PatternRule(Severity.WARNING, CountPattern(CRASHED, 3, 1000.0))) for _ in range(2))
    crash(ordered, *sorted(times))
    crash(other, *shuffled)
    for judged in (ordered, other):
        judged.tick(3001.0)
    firing, also = ([record.saved.evidence for record in judged.evaluator.records()] for judged in (ordered, other))
    assert firing == also
