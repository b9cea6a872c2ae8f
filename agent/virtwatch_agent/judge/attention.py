"""When a target of a policy in mode Hybrid is worth another look: a signal moves unusually, or nears a bound."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from virtwatch_api.policy import AllOf, AnyOf, Comparison, ConditionRule, Level, RuleBody, ThresholdRule
from virtwatch_rules.inputs import Point

RESTLESS, FOLLOWED = 8, 4  # looks in an interval
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
    until: float = float("-inf")  # monotonic seconds, until which a value that passed a bound fills windows


class Attention:
    """Follow the signals of one target; `bounds` are what rules hold them against.

    `windows` are the bounds that rules hold its mean against, and over how many seconds: one that passes such a bound
    is followed for so long, until the rule knows.
    """

    def __init__(
        self,
        bounds: Mapping[str, Sequence[float]],
        windows: Mapping[str, Sequence[tuple[Level, float]]] | None = None,
    ) -> None:
        self._bounds = bounds
        self._windows = windows or {}
        self._usual: dict[tuple[str, str], _Usual] = {}

    def more_looks(self, points: Iterable[Point], *, now: float) -> int:
        """Take what one look gave; return how many looks an interval is worth: most where some signal is restless."""
        return max([self._more(point, now) for point in points], default=0)  # each is learned from

    def _more(self, point: Point, now: float) -> int:
        value, bounds = point.value, self._bounds.get(point.signal)
        if bounds is None or value is None:
            return 0
        usual = self._usual.get((point.signal, point.device))
        if usual is None:
            self._usual[point.signal, point.device] = _Usual(value)
            return 0
        if value == usual.last and usual.until <= now:  # the usual case of a VM at rest
            usual.change -= _WEIGHT * usual.change
            usual.seen += 1
            return 0
        change, scale = value - usual.last, max([abs(bound) for bound in bounds] or [abs(usual.last)])
        moves = usual.seen >= _LEARNED and abs(change) > max(_UNUSUAL * usual.change, _MOVES * scale)
        nears = abs(change) > _STILL * scale and any(_is_near(bound - value, change, scale) for bound in bounds)
        usual.change += _WEIGHT * (abs(change) - usual.change)
        breached = [(level, window) for level, window in self._windows.get(point.signal, ()) if level.breached(value)]
        passed = [now + window for level, window in breached if not level.breached(usual.last)]
        usual.until = max([usual.until, *passed]) if breached else now
        usual.last, usual.seen = value, usual.seen + 1
        if moves or nears:
            return RESTLESS
        return FOLLOWED if now < usual.until else 0


def _is_near(left: float, change: float, scale: float) -> bool:
    """Return whether a bound is near by where the value is, or by where it goes; `left` is what is between them."""
    return abs(left) <= _NEAR * scale or (left * change > 0 and abs(left) <= _AHEAD * abs(change))


def bounds_of(body: RuleBody, signal: str) -> list[float]:
    """Return the bounds, and where an alert recovers, against which a rule holds a signal."""
    return [bound for level, _ in levels_of(body, signal) for bound in (level.value, level.recover)]


def levels_of(body: RuleBody, signal: str) -> list[tuple[Level, float]]:
    """Return the levels against which a rule holds a signal, each with its window in seconds."""
    match body:
        case ThresholdRule():
            return [(level, body.aggregate.window) for level in (body.warning, body.critical) if level is not None]
        case ConditionRule():
            own = (item for item in _comparisons(body.condition) if item.signal == signal)
            return [(item.level, item.aggregate.window) for item in own]
        case _:
            return []


def _comparisons(part: Comparison | AllOf | AnyOf) -> list[Comparison]:
    if isinstance(part, Comparison):
        return [part]
    return [comparison for inner in part.parts for comparison in _comparisons(inner)]
