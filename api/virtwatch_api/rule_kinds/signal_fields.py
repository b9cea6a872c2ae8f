"""What rules on signals share: signal, aggregate, bounds and timers; how each is read, written and described."""

from collections.abc import Sequence

from virtwatch_api.bounds import Scale, range_problem
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.signals import SIGNAL, SIGNALS, Signal
from virtwatch_api.duration import format_duration
from virtwatch_api.names import did_you_mean, shown
from virtwatch_api.policy import Aggregate, Bound, Function, Level, MissingData, Timing
from virtwatch_api.quantity import format_number
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.kind import Json, Scope


def read_signal(cursor: Cursor, scope: Scope) -> str:
    """Read the name of a signal of the scope's target; "" where it is none."""
    name = cursor.text()
    signal = SIGNAL.get(name)
    if name and signal is None:
        guess = did_you_mean(name, (item.name for item in signals_of((scope.target,))))
        cursor.problem(f'unknown signal "{shown(name)}"{guess or "; `virtwatch signals` lists them"}')
        return ""
    if signal is not None and signal.target is not scope.target:
        cursor.problem(f'signal "{name}" belongs to a {signal.target}, the policy\'s target is a {scope.target}')
        return ""
    return name


def signals_of(targets: Sequence[TargetKind]) -> list[Signal]:
    """List the signals of kinds of target."""
    return [item for item in SIGNALS if item.target in targets]


def read_aggregate(cursor: Cursor) -> Aggregate:
    """Read an aggregate; absent it is Last."""
    if cursor.value is None or not cursor.mapping("function", "window"):
        return Aggregate()
    function = cursor["function"].choice(Function, Function.LAST)
    window = cursor["window"].duration(0.0, at_least=1.0)
    if function is Function.LAST:
        if cursor.has("window") and cursor["function"].value in (None, Function.LAST):
            cursor.problem("function Last takes no window; remove it or choose another function")
        return Aggregate()
    if not cursor.has("window"):
        cursor.problem(f"function {function} needs a window")
    return Aggregate(function, window)


def write_aggregate(aggregate: Aggregate) -> Json:
    """Write an aggregate."""
    if aggregate.function is Function.LAST:
        return {"aggregate": {"function": "Last"}}
    return {"aggregate": {"function": aggregate.function.value, "window": format_duration(aggregate.window)}}


def read_bound(cursor: Cursor, of: Scale, scope: Scope) -> Level | None:
    """Read above or below and, where there is one, recover."""
    if cursor.has("above") == cursor.has("below"):
        cursor.problem("needs exactly one of above and below")
        return None
    bound = Bound.ABOVE if cursor.has("above") else Bound.BELOW
    value = _number(cursor[bound], of, scope)
    recover = _number(cursor["recover"], of, scope) if cursor.has("recover") else value
    if value is None or recover is None:
        return None  # what is wrong was said; comparing on would say more that is not
    level = Level(bound, value, recover)
    if level.breached(recover):
        side = "at or below above" if bound is Bound.ABOVE else "at or above below"
        cursor.problem(f"recover must be {side}: the alert would otherwise resolve while it is still in breach")
    elif not scope.compiled and (never := never_fires(level, of)):
        cursor[bound].problem(never)
    return level


def _number(cursor: Cursor, of: Scale, scope: Scope) -> float | None:
    if scope.compiled:
        return cursor.number()
    value = cursor.bound(of)
    if value is not None and (problem := range_problem(value, of, str(cursor.value))):
        cursor.problem(problem)
        return None
    return value


def never_fires(level: Level, of: Scale) -> str | None:
    """Say that no value of the signal can be past a bound; None where some can."""
    if level.bound is Bound.ABOVE and level.value >= of.range.greatest:
        return f"the rule can never fire: {of.signal} is never above {of.format(of.range.greatest)}"
    if level.bound is Bound.BELOW and level.value <= of.range.least:
        return f"the rule can never fire: {of.signal} is never below {of.format(of.range.least)}"
    return None


def write_bound(level: Level, *, recovers: bool) -> Json:
    """Write above or below and, where it `recovers`, recover."""
    recover = {"recover": format_number(level.recover)} if recovers else {}
    return {level.bound.value: format_number(level.value), **recover}


TIMING = ("for", "keepFiringFor", "missingData")


def read_timing(cursor: Cursor) -> Timing:
    """Read a rule's timers and what missing data does."""
    return Timing(
        for_=cursor["for"].duration(0.0),
        keep_firing_for=cursor["keepFiringFor"].duration(0.0),
        missing_data=cursor["missingData"].choice(MissingData, MissingData.HOLD),
    )


def write_timing(timing: Timing) -> Json:
    """Write a rule's timers and what missing data does."""
    return {
        "for": format_duration(timing.for_),
        "keepFiringFor": format_duration(timing.keep_firing_for),
        "missingData": timing.missing_data.value,
    }
