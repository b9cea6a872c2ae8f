from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rules.judged import T0, Judged, name
from virtwatch_api.alert import AlertState
from virtwatch_api.policy import EventMatch, EventRule, Severity
from virtwatch_rules.alerts import Saved
from virtwatch_rules.event import event_memory

FAILED = EventRule(Severity.CRITICAL, EventMatch("vm.io_error"), (), 10.0)
PAUSE = EventRule(Severity.CRITICAL, EventMatch("vm.paused"), ("vm.resumed", "vm.stopped"), 3600.0)
STUCK = EventRule(Severity.CRITICAL, EventMatch("vm.telemetry_stuck"), ("vm.telemetry_recovered",), 3600.0)


def failed(*resolve_on: str) -> Judged:
    judged = Judged(replace(FAILED, resolve_on=resolve_on))
    assert judged.event("vm.io_error", 1.0) == [("Fired", "Event")]
    return judged


def test_an_event_fires_once_however_often_it_repeats() -> None:
    judged = failed()

    assert judged.event("vm.io_error", 2.0) == judged.event("vm.io_error", 3.0) == []


def test_an_event_alert_resolves_on_the_events_that_it_names() -> None:
    assert failed("vm.stopped").event("vm.stopped", 2.0) == [("Resolved", "EventCleared")]


def test_a_vm_that_goes_on_in_vain_ends_no_alert() -> None:
    judged = failed("vm.resumed")

    for at in (10.0, 20.0, 30.0):
        assert judged.event("vm.resumed", at) == judged.event("vm.io_error", at) == judged.tick(at + 5.0) == []
    assert judged.state.since == T0 + 1


@pytest.mark.parametrize("where", [(), (("reason", "ioerror"),)])
def test_a_pause_by_an_io_error_in_vain_ends_no_alert(where: tuple[tuple[str, str], ...]) -> None:
    judged = Judged(replace(PAUSE, event=EventMatch("vm.paused", where)))
    assert judged.event("vm.paused", 1.0, reason="ioerror") == [("Fired", "Event")]

    for at in (10.0, 12.6, 15.2):
        assert judged.event("vm.resumed", at) == judged.tick(at + 1.0) == []
        assert judged.event("vm.paused", at + 1.3, reason="ioerror") == []
    judged.event("vm.resumed", 20.0)

    assert judged.tick(22.9) == []
    assert judged.tick(23.0) == [("Resolved", "EventCleared")]


def test_a_pause_by_a_user_ends_as_soon_as_the_vm_goes_on() -> None:
    judged = Judged(PAUSE)
    judged.event("vm.paused", 1.0, reason="ioerror")
    judged.event("vm.paused", 2.0, reason="user")

    assert judged.event("vm.resumed", 3.0) == [("Resolved", "EventCleared")]


def test_a_vm_that_goes_on_for_a_while_ends_the_alert() -> None:
    judged = failed("vm.resumed")
    judged.event("vm.resumed", 2.0)

    assert judged.tick(4.9) == []
    assert judged.tick(5.0) == [("Resolved", "EventCleared")]
    assert judged.said[-1].evidence.subject == "vm.resumed"


def test_without_resolve_on_it_expires_after_the_last_event() -> None:
    judged = failed()
    judged.event("vm.io_error", 5.0)

    assert judged.tick(14.9) == []
    assert judged.tick(15.0) == [("Resolved", "Expired")]


def test_it_ends_when_its_target_never_comes_back() -> None:
    judged = failed("vm.started")
    judged.vanish(1.0)

    assert judged.tick(10.9) == []
    assert judged.tick(11.0) == [("Resolved", "DomainStopped")]


def test_it_goes_on_when_its_target_comes_back() -> None:
    judged = failed("vm.stopped")
    judged.vanish(1.0)
    judged.appear(9.0)

    assert judged.tick(100.0) == []


@pytest.mark.parametrize("gone", [False, True])
def test_it_expires_in_its_time_though_the_clock_steps_back(gone: bool) -> None:
    judged = Judged(replace(FAILED, resolve_on=("vm.started",) if gone else ()))
    judged.event("vm.io_error", 100_000.0)
    if gone:
        judged.vanish(100_001.0)

    assert judged.tick(50.0) == []
    assert [reason for _, reason in judged.tick(60.0)] == ["DomainStopped" if gone else "Expired"]


@pytest.mark.parametrize("step", [86_400.0, -86_400.0])
def test_it_lasts_its_time_though_the_clock_is_set(step: float) -> None:
    judged = failed()

    judged.evaluator.clock_set(step)

    assert judged.tick(step + 10.9) == []
    assert judged.tick(step + 11.0) == [("Resolved", "Expired")]


def test_an_event_that_waits_for_its_rule_outlives_its_target() -> None:
    judged = Judged()
    judged.evaluator.unresolve()
    judged.event("vm.io_error", 1.0)
    judged.vanish(1.0)

    assert judged.apply(replace(FAILED, resolve_on=("vm.started",)), at=2) == [("Fired", "Event")]
    assert judged.tick(11.0) == [("Resolved", "DomainStopped")]


def test_what_a_live_migration_does_is_no_pause_and_no_stop() -> None:
    judged = Judged(PAUSE)

    assert judged.event("vm.paused", reason="migration") == judged.event("vm.paused", reason="starting") == []
    assert judged.event("vm.paused", reason="user") == [("Fired", "Event")]
    assert judged.event("vm.resumed", reason="migrated") == judged.event("vm.stopped", reason="migrated") == []
    assert judged.event("vm.resumed") == [("Resolved", "EventCleared")]


def test_a_rule_that_names_the_reason_hears_of_a_live_migration() -> None:
    judged = Judged(replace(PAUSE, event=EventMatch("vm.paused", (("reason", "migration"),))))

    assert judged.event("vm.paused", reason="migration") == [("Fired", "Event")]
    assert judged.event("vm.resumed", reason="migrated") == [("Resolved", "EventCleared")]


def test_an_event_found_after_a_gap_is_what_fires_already() -> None:
    judged = Judged(FAILED)
    judged.event("vm.io_error", 1.0, device="vda")

    assert judged.event("vm.io_error", 2.0, inferred=True) == []
    assert [record.name.device for record in judged.evaluator.records()] == ["vda"]


def test_what_is_found_again_leaves_what_was_heard() -> None:
    judged = failed()
    (before,) = judged.evaluator.records()

    assert judged.event("vm.io_error", 2.0, inferred=True) == []

    (after,) = judged.evaluator.records()
    assert after.saved.evidence == before.saved.evidence


def test_what_this_place_could_not_see_ends_with_its_target() -> None:
    judged = Judged(STUCK)
    judged.event("vm.telemetry_stuck", 1.0)
    restored = Judged()
    restored.evaluator.restore(name(), next(judged.evaluator.records()).saved)

    for one in (judged, restored):
        assert one.vanish(2.0) == [("Resolved", "DomainStopped")]
        assert list(one.evaluator.records()) == []


def came(judged: Judged, rule: EventRule, device: str = "") -> list[object]:
    """Let an alert on events come after its target; return what becomes of it at once."""
    memory = event_memory(rule.event.type, last_at=T0 - 1, absent_since=None)
    judged.evaluator.restore(name(device=device), Saved(device, AlertState(Severity.CRITICAL, T0 - 9), memory=memory))
    return judged.apply(rule, at=9)


def test_an_alert_that_came_late_ends_by_what_happened_before() -> None:
    judged = Judged(PAUSE)
    judged.event("vm.started", reason="migrated")
    judged.event("vm.resumed")

    assert came(judged, PAUSE) == [("Resolved", "EventCleared")]
    assert list(judged.evaluator.records()) == []


def test_its_cause_on_another_device_is_another_alerts() -> None:
    rule = replace(FAILED, resolve_on=("vm.rebooted",), keep_firing_for=3600.0)
    judged = Judged(rule)
    judged.event("vm.rebooted")
    judged.event("vm.io_error", 1.0, device="vdb")

    assert came(judged, rule, "vdb") == []
    assert came(judged, rule, "vda") == [("Resolved", "EventCleared")]


PAUSES = st.lists(
    st.sampled_from(
        [("vm.paused", "user"), ("vm.resumed", ""), ("vm.resumed", "migrated"), ("vm.paused", "migration")]
    ),
    max_size=40,
)


@given(PAUSES, st.integers(0, 40))
def test_it_does_not_matter_when_an_alert_comes_after_its_target(turns: list[tuple[str, str]], at: int) -> None:
    early, late = Judged(PAUSE), Judged(PAUSE)
    for judged in (early, late):
        judged.event("vm.started", reason="migrated")
    came(early, PAUSE)
    for number, (type_, reason) in enumerate(turns):
        if number == at:
            came(late, PAUSE)
        for judged in (early, late):
            judged.event(type_, 10.0 + number, reason=reason)
    if at >= len(turns):
        came(late, PAUSE)

    assert [item.saved.state.severity for item in late.evaluator.records()] == [
        item.saved.state.severity for item in early.evaluator.records()
    ]
