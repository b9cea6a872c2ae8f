from virtwatch_agent.judge.alerts import EventAlert, ThresholdAlert
from virtwatch_agent.judge.window import Window
from virtwatch_agent.observations import TargetEvent
from virtwatch_api.alert import Action, AlertKey, Reason
from virtwatch_api.policy import (
    Aggregate,
    Bound,
    Enforcement,
    EventMatch,
    EventRule,
    Level,
    MissingData,
    PolicyKey,
    PolicyKind,
    Severity,
    ThresholdRule,
    Timing,
)
from virtwatch_api.targets import vm_ref

KEY = AlertKey(PolicyKey(PolicyKind.MONITOR_POLICY, "web", "shop"), "cpu", vm_ref("uuid"))
WARNING = Level(Bound.ABOVE, 0.5, 0.4)
CRITICAL = Level(Bound.ABOVE, 0.9, 0.8)


def threshold(timing: Timing | None = None) -> ThresholdAlert:
    rule = ThresholdRule("vm.cpu.utilization", Aggregate(), WARNING, CRITICAL, timing or Timing())
    return ThresholdAlert(KEY, rule, Enforcement.ENFORCE, 1.0, Window(Aggregate()), seen=0.0)


def actions(alert: ThresholdAlert, *values: float) -> list[tuple[float, Action, Severity | None]]:
    seen = []
    for clock, value in enumerate(values):
        change = alert.sample(value, clock=float(clock), now=float(clock))
        if change is not None:
            seen.append((clock, change.action, change.severity))
    return seen


def test_a_breach_fires_escalates_eases_and_resolves() -> None:
    assert actions(threshold(), 0.1, 0.6, 0.95, 0.6, 0.1) == [
        (1, Action.FIRED, Severity.WARNING),
        (2, Action.ESCALATED, Severity.CRITICAL),
        (3, Action.EASED, Severity.WARNING),
        (4, Action.RESOLVED, None),
    ]


def test_recover_keeps_a_value_that_hovers_at_the_bound_from_flapping() -> None:
    assert actions(threshold(), 0.6, 0.45, 0.6, 0.41, 0.55, 0.4) == [
        (0, Action.FIRED, Severity.WARNING),
        (5, Action.RESOLVED, None),
    ]


def test_the_bound_itself_is_not_a_breach() -> None:
    assert actions(threshold(), 0.5) == []


def test_for_must_pass_without_a_break() -> None:
    assert actions(threshold(Timing(for_=2.0)), 0.6, 0.6, 0.1, 0.6, 0.6, 0.6) == [(5, Action.FIRED, Severity.WARNING)]


def test_keep_firing_for_outlasts_a_short_recovery() -> None:
    assert actions(threshold(Timing(keep_firing_for=3.0)), 0.6, 0.1, 0.6, 0.1, 0.1, 0.1, 0.1) == [
        (0, Action.FIRED, Severity.WARNING),
        (6, Action.RESOLVED, None),
    ]


def test_the_evidence_is_a_sentence_with_value_and_bound() -> None:
    alert = threshold()
    actions(alert, 0.95)

    assert alert.evidence.value == 0.95
    assert alert.evidence.bound == 0.9
    assert alert.evidence.text == "vm.cpu.utilization is 0.95, above 0.9"


def test_the_evidence_says_where_a_value_stands_between_bound_and_recovery() -> None:
    alert = threshold()
    texts = []
    for clock, value in enumerate((0.6, 0.45, 0.4)):
        alert.sample(value, clock=float(clock), now=float(clock))
        texts.append(alert.evidence.text.removeprefix("vm.cpu.utilization is "))

    assert texts == ["0.6, above 0.5", "0.45, not yet at or below 0.4", "0.4, at or below 0.4"]


def test_missing_data_holds_resolves_or_alerts_as_the_rule_says() -> None:
    held, resolved, raised = (threshold(Timing(missing_data=choice)) for choice in MissingData)
    for alert in (held, resolved):
        actions(alert, 0.6)

    assert held.tick(clock=100.0, now=100.0) is None
    assert held.state.firing
    change = resolved.tick(clock=100.0, now=100.0)
    assert change is not None
    assert (change.action, change.reason) == (Action.RESOLVED, Reason.NO_DATA)
    change = raised.tick(clock=100.0, now=100.0)
    assert change is not None
    assert (change.action, change.reason, change.severity) == (Action.FIRED, Reason.NO_DATA, Severity.WARNING)


def test_a_late_sample_is_not_missing_data() -> None:
    alert = threshold(Timing(missing_data=MissingData.RESOLVE))
    actions(alert, 0.6)

    assert alert.tick(clock=4.0, now=4.0) is None


def event_alert(*resolve_on: str, keep: float = 10.0) -> EventAlert:
    rule = EventRule(Severity.CRITICAL, EventMatch("vm.io_error"), resolve_on, keep)
    return EventAlert(KEY, rule, Enforcement.ENFORCE)


def test_an_event_fires_once_however_often_it_repeats() -> None:
    alert = event_alert("vm.resumed")

    changes = [alert.event(TargetEvent("vm.io_error", vm_ref("uuid"), at), now=at) for at in (1.0, 2.0, 3.0)]

    assert [change is not None for change in changes] == [True, False, False]


def test_an_event_alert_resolves_on_the_events_that_it_names() -> None:
    alert = event_alert("vm.stopped")
    alert.event(TargetEvent("vm.io_error", vm_ref("uuid"), 1.0), now=1.0)

    change = alert.clear(TargetEvent("vm.stopped", vm_ref("uuid"), 2.0), now=2.0)

    assert change is not None
    assert (change.action, change.reason) == (Action.RESOLVED, Reason.EVENT_CLEARED)


def test_a_vm_that_goes_on_in_vain_after_an_io_error_ends_no_alert() -> None:
    alert = event_alert("vm.resumed")
    alert.event(TargetEvent("vm.io_error", vm_ref("uuid"), 1.0), now=1.0)

    for at in (10.0, 20.0, 30.0):
        assert alert.clear(TargetEvent("vm.resumed", vm_ref("uuid"), at), now=at) is None
        assert alert.event(TargetEvent("vm.io_error", vm_ref("uuid"), at), now=at) is None
        assert alert.tick(now=at + 5.0) is None
    assert alert.state.since == 1.0


def test_a_vm_that_goes_on_after_an_io_error_ends_the_alert_once_it_has_gone_on_for_a_while() -> None:
    alert = event_alert("vm.resumed")
    alert.event(TargetEvent("vm.io_error", vm_ref("uuid"), 1.0), now=1.0)
    alert.clear(TargetEvent("vm.resumed", vm_ref("uuid"), 2.0), now=2.0)

    assert alert.tick(now=4.9) is None
    change = alert.tick(now=5.0)

    assert change is not None
    assert (change.action, change.reason, change.since) == (Action.RESOLVED, Reason.EVENT_CLEARED, 1.0)
    assert alert.evidence.subject == "vm.resumed"


def test_an_event_alert_without_resolve_on_expires_after_the_last_event() -> None:
    alert = event_alert(keep=10.0)
    alert.event(TargetEvent("vm.io_error", vm_ref("uuid"), 0.0), now=0.0)
    alert.event(TargetEvent("vm.io_error", vm_ref("uuid"), 5.0), now=5.0)

    assert alert.tick(now=14.9) is None
    change = alert.tick(now=15.0)
    assert change is not None
    assert change.reason is Reason.EXPIRED


def test_an_event_alert_of_a_domain_that_never_comes_back_ends() -> None:
    alert = event_alert("vm.started", keep=10.0)
    alert.event(TargetEvent("vm.io_error", vm_ref("uuid"), 0.0), now=0.0)
    alert.absent_since = 1.0

    assert alert.tick(now=10.0) is None
    change = alert.tick(now=11.0)
    assert change is not None
    assert change.reason is Reason.DOMAIN_STOPPED


def test_an_event_alert_expires_in_its_time_though_the_clock_steps_back() -> None:
    alert = event_alert(keep=10.0)
    alert.event(TargetEvent("vm.io_error", vm_ref("uuid"), 100_000.0), now=100_000.0)

    assert alert.tick(now=50.0) is None
    change = alert.tick(now=60.0)
    assert change is not None
    assert change.reason is Reason.EXPIRED


def test_an_event_alert_of_a_domain_that_is_gone_ends_in_its_time_though_the_clock_steps_back() -> None:
    alert = event_alert("vm.started", keep=10.0)
    alert.event(TargetEvent("vm.io_error", vm_ref("uuid"), 100_000.0), now=100_000.0)
    alert.absent_since = 100_001.0

    assert alert.tick(now=50.0) is None
    change = alert.tick(now=60.0)
    assert change is not None
    assert change.reason is Reason.DOMAIN_STOPPED
