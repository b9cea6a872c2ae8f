"""The sentences in which patterns explain themselves."""

from virtwatch_api.policy import Absent, CountBy, CountPattern, PatternRule, SequencePattern
from virtwatch_rules.pattern.history import History
from virtwatch_rules.pattern.matching import Match
from virtwatch_rules.wording import describe_seconds

_MOST_NAMES = 5


def describe(body: PatternRule, match: Match, *, cut: int) -> str:
    """Say which events make the pattern."""
    pattern = body.pattern
    text = _count(pattern, match, cut) if isinstance(pattern, CountPattern) else _sequence(pattern, match)
    inferred = sum(event.inferred for event in match.events)
    return f"{text}; {inferred} of them found after a gap" if inferred else text


def awaits(body: PatternRule, history: History, *, at: float, firing: bool) -> str:
    """Say what ends the alert, or what is missing to fire."""
    pattern = body.pattern
    within = describe_seconds(pattern.within)
    if isinstance(pattern, CountPattern):
        if firing:
            return f"resolves {within} after the last {pattern.event.type}"
        recent = [event for event in history if event.at > at - pattern.within]
        count = len({event.member for event in recent}) if pattern.distinct else len(recent)
        return f"{count} of {pattern.at_least} {pattern.event.type} in the last {within}"
    last = pattern.steps[-1]
    if isinstance(last, Absent):
        missing = " or ".join(last.types)
        if firing:
            return f"resolves on {missing}"
        begun = next((event for event in reversed(list(history)) if 0 in event.steps), None)
        if begun is not None and at < begun.at + pattern.within:
            rest = describe_seconds(begun.at + pattern.within - at)
            return f"fires in {rest} if {missing} does not come"
        return f"waits for {_first(pattern)}"
    return f"resolves {within} after the last step" if firing else f"waits for {_first(pattern)}"


def _first(pattern: SequencePattern) -> str:
    step = pattern.steps[0]
    return " or ".join(step.types) if isinstance(step, Absent) else step.type


def _count(pattern: CountPattern, match: Match, cut: int) -> str:
    number = f"{len(match.events)} or more" if cut else f"{len(match.events)}"
    over = describe_seconds(match.events[-1].at - match.events[0].at)
    text = f"{number} times {pattern.event.type} within {over}"
    if pattern.by is CountBy.VIRTUAL_MACHINE:
        return text
    names = sorted({event.member for event in match.events})
    shown = ", ".join(names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{text}, on {len(names)} VMs: {shown}{more}"


def _sequence(pattern: SequencePattern, match: Match) -> str:
    begun = match.events[0].at
    steps = [match.events[0].type]
    steps += [f"{event.type} after {describe_seconds(event.at - begun)}" for event in match.events[1:]]
    text = ", then ".join(steps)
    last = pattern.steps[-1]
    if isinstance(last, Absent):
        return f"{text}, and no {' or '.join(last.types)} within {describe_seconds(pattern.within)}"
    return text
