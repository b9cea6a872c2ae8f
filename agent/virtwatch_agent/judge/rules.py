from virtwatch_agent.judge.alerts import Alert, EventAlert, ThresholdAlert
from virtwatch_agent.judge.window import Window
from virtwatch_agent.observations import DomainEvent
from virtwatch_api.alert import AlertKey
from virtwatch_api.policy import Collection, EventMatch, EventRule, Mode, ThresholdRule
from virtwatch_api.resolution import EffectiveRule
from virtwatch_api.thresholdset import ThresholdSet

_CONTINUOUS_INTERVAL = 1.0  # seconds


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


def renew(alert: Alert, effective: EffectiveRule) -> bool:
    """Give an alert its rule's newest text; False when the rule became something else and the alert must end."""
    body = effective.rule.body
    if alert.enforcement is not effective.thresholds.enforcement:
        return False
    if isinstance(alert, ThresholdAlert) and isinstance(body, ThresholdRule) and alert.rule.signal == body.signal:
        if alert.rule.aggregate != body.aggregate:
            alert.window = Window(body.aggregate)
        alert.rule = body
        alert.interval = interval(effective.thresholds.collection)
        return True
    if isinstance(alert, EventAlert) and isinstance(body, EventRule) and alert.rule.event == body.event:
        alert.rule = body
        return True
    return False


def matches(wanted: EventMatch, event: DomainEvent) -> bool:
    """Tell whether an event is of the type and has the attributes that a rule asks for."""
    return wanted.type == event.type and all(event.attributes.get(key) == value for key, value in wanted.where)
