"""When a target of a policy in mode Hybrid is worth another look: a signal moves unusually, or nears a bound."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from virtwatch_api.policy import AllOf, AnyOf, Comparison, ConditionRule, Level, RuleBody, ThresholdRule
from virtwatch_rules.inputs import Point

_LEARNED = 4  # values after which it is known how much a signal changes of itself
_WEIGHT = 0.2  # of a new change in what is usual
_UNUSUAL = 4.0  # times the usual change
_MOVES = 0.1  # share of a bound by which a signal must change to move
_NEAR = 0.1  # share of a bound within which a value is near it
_AHEAD = 2.0  # changes such as the last one after which the bound would be reached
_STILL = 0.01  # share of a bound below which a change is none


@dataclass(slots=True)
class _Usual:
    last: float
    change: float = 0.0
    seen: int = 1


class Attention:
    """Follow the signals of one target; `bounds` are what rules hold them against."""

    def __init__(self, bounds: Mapping[str, Sequence[float]]) -> None:
        self._bounds = bounds
        self._usual: dict[tuple[str, str], _Usual] = {}

    def worth_another(self, points: Iterable[Point]) -> bool:
        """Take what one look gave; tell whether some signal is restless."""
        restless = [self._restless(point) for point in points]  # each is learned from, whatever the others say
        return any(restless)

    def _restless(self, point: Point) -> bool:
        value, bounds = point.value, self._bounds.get(point.signal)
        if bounds is None or value is None:
            return False
        usual = self._usual.get((point.signal, point.device))
        if usual is None:
            self._usual[point.signal, point.device] = _Usual(value)
            return False
        change, scale = value - usual.last, max([abs(bound) for bound in bounds] or [abs(usual.last)])
        moves = usual.seen >= _LEARNED and abs(change) > max(_UNUSUAL * usual.change, _MOVES * scale)
        nears = abs(change) > _STILL * scale and any(_is_near(bound - value, change, scale) for bound in bounds)
        usual.change += _WEIGHT * (abs(change) - usual.change)
        usual.last, usual.seen = value, usual.seen + 1
        return moves or nears


def _is_near(left: float, change: float, scale: float) -> bool:
    """Tell whether a bound is near by where the value is, or by where it goes; `left` is what is between them."""
    return abs(left) <= _NEAR * scale or (left * change > 0 and abs(left) <= _AHEAD * abs(change))


def bounds_of(body: RuleBody, signal: str) -> list[float]:
    """Return the bounds, and where an alert recovers, against which a rule holds a signal."""
    levels: list[Level | None] = []
    match body:
        case ThresholdRule():
            levels = [body.warning, body.critical]
        case ConditionRule():
            levels = [item.level for item in _comparisons(body.condition) if item.signal == signal]
    return [bound for level in levels if level is not None for bound in (level.value, level.recover)]


def _comparisons(part: Comparison | AllOf | AnyOf) -> list[Comparison]:
    if isinstance(part, Comparison):
        return [part]
    return [comparison for inner in part.parts for comparison in _comparisons(inner)]
