"""What a rule judges and when it fires, in a line for a person. Pure."""

from collections.abc import Iterator

from virtwatch_api.policy import (
    Absent,
    Aggregate,
    AllOf,
    AnomalyRule,
    AnyOf,
    Comparison,
    ConditionRule,
    CountPattern,
    EventMatch,
    EventRule,
    Function,
    Level,
    MissingData,
    PatternRule,
    Rule,
    SequencePattern,
    ThresholdRule,
    Timing,
)
from virtwatch_rules.wording import describe_bound, describe_recovery, describe_seconds


def describe(rule: Rule) -> str:
    """Say what a rule judges, its bounds, and for how long they must be passed."""
    body = rule.body
    match body:
        case ThresholdRule():
            levels = ", ".join(f"{name} {level_text(body, level)}" for name, level in _levels(body))
            return f"{_signal(body.signal, body.aggregate)}: {levels}{_timing(body.timing)}"
        case EventRule(severity, event, resolve_on, keep_firing_for):
            end = f"until {_any(resolve_on)}" if resolve_on else f"for {describe_seconds(keep_firing_for)}"
            return f"{severity} on {_event(event)}, {end}"
        case ConditionRule(severity, condition, timing):
            return f"{severity} while {_condition(condition)}{_timing(timing)}"
        case PatternRule(severity, pattern):
            return f"{severity} on {_pattern(pattern)} within {describe_seconds(pattern.within)}"
        case AnomalyRule(severity, signals, sensitivity):
            return f"{severity} on unusual {_any(signals)} (sensitivity {sensitivity})"


def level_text(rule: ThresholdRule, level: Level) -> str:
    """Say what passes a level, and where it recovers unless that is the bound itself."""
    bound = describe_bound(rule.signal, rule.aggregate, level)
    if level.recover == level.value:
        return bound
    return f"{bound} until {describe_recovery(rule.signal, rule.aggregate, level)}"


def _levels(rule: ThresholdRule) -> Iterator[tuple[str, Level]]:
    for name, level in (("Warning", rule.warning), ("Critical", rule.critical)):
        if level is not None:
            yield name, level


def _signal(signal: str, aggregate: Aggregate) -> str:
    if aggregate.function is Function.LAST:
        return signal
    return f"{aggregate.function} of {signal} over {describe_seconds(aggregate.window)}"


def _timing(timing: Timing) -> str:
    parts = []
    if timing.for_:
        parts.append(f"for {describe_seconds(timing.for_)}")
    if timing.keep_firing_for:
        parts.append(f"keeps firing for {describe_seconds(timing.keep_firing_for)}")
    if timing.missing_data is not MissingData.HOLD:
        parts.append(f"missing data: {timing.missing_data}")
    return "".join(f"; {part}" for part in parts)


def _condition(part: Comparison | AllOf | AnyOf, *, nested: bool = False) -> str:
    match part:
        case Comparison(signal, aggregate, level):
            return f"{_signal(signal, aggregate)} {describe_bound(signal, aggregate, level)}"
        case AllOf(parts) | AnyOf(parts):
            word = " and " if isinstance(part, AllOf) else " or "
            joined = word.join(_condition(inner, nested=True) for inner in parts)
            return f"({joined})" if nested and len(parts) > 1 else joined


def _pattern(pattern: CountPattern | SequencePattern) -> str:
    if isinstance(pattern, CountPattern):
        return f"{pattern.at_least} x {_event(pattern.event)}"
    return ", then ".join(_step(step) for step in pattern.steps)


def _event(event: EventMatch) -> str:
    where = ", ".join(f"{key}={value}" for key, value in event.where)
    return f"{event.type} {{{where}}}" if where else event.type


def _step(step: EventMatch | Absent) -> str:
    return f"no {_any(step.types)}" if isinstance(step, Absent) else _event(step)


def _any(names: tuple[str, ...]) -> str:
    return " or ".join(names)
