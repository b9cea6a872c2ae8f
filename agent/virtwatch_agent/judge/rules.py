"""What rules say of their alerts: which event matches, what is kept, renewed and taken back."""

from dataclasses import replace

from virtwatch_agent.judge.alerts import Alert, EventAlert, ThresholdAlert
from virtwatch_agent.judge.records import AlertRecord
from virtwatch_agent.judge.window import Window
from virtwatch_agent.observations import TargetEvent
from virtwatch_api.alert import AlertKey, carry_on
from virtwatch_api.policy import Collection, Enforcement, EventMatch, EventRule, Mode, ThresholdRule
from virtwatch_api.resolution import EffectiveRule
from virtwatch_api.targets import Subject
from virtwatch_api.thresholdset import ThresholdSet

_CONTINUOUS_INTERVAL = 1.0  # seconds
# What a live migration does on both nodes, and a start before it is done, is no stop, pause or start of the VM, but to
# a rule that names the reason.
_PASSING = frozenset({"migrated", "migration", "postcopy", "starting"})


def interval(collection: Collection) -> float:
    """Return the seconds between looks that a policy asks for."""
    if collection.mode is Mode.CONTINUOUS:
        return min(_CONTINUOUS_INTERVAL, collection.interval)
    return collection.interval


def new_threshold_alert(
    key: AlertKey, rule: ThresholdRule, thresholds: ThresholdSet, *, clock: float
) -> ThresholdAlert:
    """Make an inactive alert; `clock` (monotonic seconds) is when its silence begins to count."""
    return ThresholdAlert(
        key=key,
        rule=rule,
        enforcement=thresholds.enforcement,
        interval=interval(thresholds.collection),
        window=Window(rule.aggregate),
        seen=clock,
    )


def kept(alert: Alert, subject: Subject) -> AlertRecord:
    """Return what must survive a restart of an alert."""
    events = alert if isinstance(alert, EventAlert) else None
    return AlertRecord(
        key=alert.key,
        state=alert.state,
        subject=subject,
        evidence=alert.evidence,
        traceparent=alert.traceparent,
        last_event=events.last_event if events else None,
        absent_since=events.absent_since if events else None,
    )


def taken_back(record: AlertRecord, effective: EffectiveRule | None, *, clock: float) -> Alert | None:
    """Make an alert from what was kept of it; None when its rule is gone."""
    if effective is None or effective.thresholds.enforcement is not Enforcement.ENFORCE:
        return None
    body = effective.rule.body
    alert: Alert
    if isinstance(body, ThresholdRule):
        alert = new_threshold_alert(record.key, body, effective.thresholds, clock=clock)
        alert.window_anew = True
    elif isinstance(body, EventRule):
        alert = EventAlert(key=record.key, rule=body, enforcement=effective.thresholds.enforcement)
        alert.last_event, alert.absent_since = record.last_event, record.absent_since
    else:
        return None
    alert.state, alert.evidence, alert.traceparent = record.state, record.evidence, record.traceparent
    return alert


def merged(mine: AlertRecord, came: AlertRecord) -> AlertRecord:
    """Go on with an alert that another node judged before, and this one meanwhile: the worse one tells why."""
    state = carry_on(mine.state, came.state)
    worse = mine if mine.state.severity is state.severity and came.state.severity is not state.severity else came
    events = [item.last_event for item in (mine, came) if item.last_event is not None]
    return replace(worse, state=state, last_event=max(events, default=None))


def renew(alert: Alert, effective: EffectiveRule) -> bool:
    """Give an alert its rule's newest text; False when the rule became something else and the alert must end."""
    body = effective.rule.body
    if alert.enforcement is not effective.thresholds.enforcement:
        return False
    if isinstance(alert, ThresholdAlert) and isinstance(body, ThresholdRule) and alert.rule.signal == body.signal:
        if alert.rule.aggregate != body.aggregate:
            alert.window, alert.window_anew = Window(body.aggregate), True
        alert.rule = body
        alert.interval = interval(effective.thresholds.collection)
        return True
    if isinstance(alert, EventAlert) and isinstance(body, EventRule) and alert.rule.event == body.event:
        alert.rule = body
        return True
    return False


def matches(wanted: EventMatch, event: TargetEvent) -> bool:
    """Tell whether an event is of the type and has the attributes that a rule asks for."""
    has_them = all(event.attributes.get(key) == value for key, value in wanted.where)
    return wanted.type == event.type and has_them and (not _passes(event) or _means_passing(wanted))


def clears(rule: EventRule, event: TargetEvent) -> bool:
    """Tell whether an event ends the alert of a rule."""
    return event.type in rule.resolve_on and (not _passes(event) or _means_passing(rule.event))


def _passes(event: TargetEvent) -> bool:
    return event.attributes.get("reason") in _PASSING


def _means_passing(wanted: EventMatch) -> bool:
    return any(key == "reason" and value in _PASSING for key, value in wanted.where)
