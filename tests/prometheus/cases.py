"""Random rules, and series with gaps and samples that come late, for them to be judged by Prometheus and by virtwatch.

All draws go through `random()`, which gives the same numbers for a seed in every version of Python.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from virtwatch_api.policy import (
    Aggregate,
    AllOf,
    AnyOf,
    Bound,
    Comparison,
    ConditionRule,
    Function,
    Level,
    MissingData,
    Severity,
    ThresholdRule,
    Timing,
)

T = TypeVar("T")
INSTANTS = 60
INTERVALS_S = (1.0, 2.0, 5.0, 15.0, 60.0)
SIGNALS = ("vm.memory.rss", "vm.memory.balloon", "vm.memory.guest.age")
LATE_S = 2.0  # a sample that comes later may be judged without


@dataclass(frozen=True)
class Case:
    """Hold one rule, and per signal a value at each instant of the grid or None; `late` is each look's, in seconds."""

    number: int
    interval: float
    rule: ThresholdRule | ConditionRule
    series: dict[str, tuple[float | None, ...]]
    late: tuple[float, ...]
    ticks: tuple[float, ...]

    @property
    def stale(self) -> float:
        """Return after how many seconds without a sample a signal has no data."""
        return max(5.0, 3 * self.interval)


class Draw:
    """Draw from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def share(self) -> float:
        return self._random.random()

    def chance(self, share: float) -> bool:
        return self.share() < share

    def whole(self, least: int, most: int) -> int:
        return least + int(self.share() * (most - least + 1))

    def one(self, items: Sequence[T]) -> T:
        return items[int(self.share() * len(items))]


def cases(seed: int, count: int) -> list[Case]:
    """Return so many cases of a seed."""
    return [_case(Draw(seed * 1_000_003 + number), number) for number in range(count)]


def _case(draw: Draw, number: int) -> Case:
    interval = draw.one(INTERVALS_S)
    gaps = draw.chance(0.6)
    missing = (
        draw.one((MissingData.RESOLVE, MissingData.RESOLVE, MissingData.ALERT)) if gaps else draw.one(list(MissingData))
    )
    timing = Timing(_wait(draw, interval), _wait(draw, interval), missing)
    rule: ThresholdRule | ConditionRule
    if draw.chance(0.25):
        # What a condition without data does is not said in PromQL but where it resolves.
        rule = _condition(draw, interval, Timing(timing.for_, timing.keep_firing_for, MissingData.RESOLVE))
        signals = {item.signal for item in _comparisons(rule.condition)}
    else:
        rule = _threshold(draw, interval, timing)
        signals = {rule.signal}
    ends = int(interval * INSTANTS)
    return Case(
        number,
        interval,
        rule,
        {signal: _series(draw, gaps=gaps) for signal in SIGNALS if signal in signals},
        tuple(draw.share() * 0.95 * min(LATE_S, interval) * draw.one((0.0, 0.001, 1.0)) for _ in range(INSTANTS)),
        tuple(sorted(draw.share() * ends for _ in range(draw.whole(10, 200)))),
    )


def _wait(draw: Draw, interval: float) -> float:
    if draw.chance(0.4):
        return 0.0
    if draw.chance(0.6):
        return draw.whole(1, 8) * interval
    return float(draw.whole(math.ceil(interval), math.ceil(8 * interval)))


def _threshold(draw: Draw, interval: float, timing: Timing) -> ThresholdRule:
    aggregate, bound = _aggregate(draw, interval), draw.one(list(Bound))
    levels = sorted((_bound(draw, aggregate) for _ in range(2)), reverse=bound is Bound.BELOW)
    warning, critical = (_level(draw, bound, value) for value in levels)
    held = draw.one(("both", "warning", "critical"))
    return ThresholdRule(
        SIGNALS[0],
        aggregate,
        warning if held != "critical" else None,
        critical if held != "warning" else None,
        timing,
    )


def _level(draw: Draw, bound: Bound, value: float) -> Level:
    if draw.chance(0.6):
        return Level(bound, value, value)
    distance = draw.whole(1, 4) / 8
    return Level(bound, value, value - distance if bound is Bound.ABOVE else value + distance)


def _aggregate(draw: Draw, interval: float) -> Aggregate:
    function = draw.one(list(Function))
    if function is Function.LAST:
        return Aggregate()
    # Shorter than a gap has to be, the last value stands in ours and is gone in theirs.
    shortest = math.ceil(max(5.0, 3 * interval))
    if draw.chance(0.6):
        return Aggregate(function, float(draw.whole(math.ceil(shortest / interval), 20) * interval))
    return Aggregate(function, float(draw.whole(shortest, math.ceil(20 * interval) + shortest)))


def _bound(draw: Draw, aggregate: Aggregate) -> float:
    match aggregate.function:
        case Function.COUNT:
            return float(draw.whole(0, 20))
        case Function.SUM:
            return draw.whole(0, 100) / 8
        case Function.RATE:
            return draw.whole(-8, 8) / 64
        case Function.P95:
            return draw.whole(0, 8) / 8 + 1 / 64  # between two values both round, each in its own way
        case _:
            return draw.one((draw.whole(0, 8) / 8, 0.4, 0.1))


def _condition(draw: Draw, interval: float, timing: Timing) -> ConditionRule:
    groups = (AllOf, AnyOf)
    parts: list[Comparison | AllOf | AnyOf] = [_comparison(draw, interval) for _ in range(draw.whole(1, 2))]
    if draw.chance(0.5):
        parts.append(draw.one(groups)(tuple(_comparison(draw, interval) for _ in range(draw.whole(1, 3)))))
    return ConditionRule(Severity.WARNING, draw.one(groups)(tuple(parts)), timing)


def _comparison(draw: Draw, interval: float) -> Comparison:
    aggregate = _aggregate(draw, interval)
    value = _bound(draw, aggregate)
    return Comparison(draw.one(SIGNALS), aggregate, Level(draw.one(list(Bound)), value, value))


def _comparisons(tree: Comparison | AllOf | AnyOf) -> list[Comparison]:
    return [tree] if isinstance(tree, Comparison) else [item for part in tree.parts for item in _comparisons(part)]


def _series(draw: Draw, *, gaps: bool) -> tuple[float | None, ...]:
    shape = draw.one(("walk", "noise", "steps"))
    values: list[float | None] = []
    value, gap = draw.whole(0, 8) / 8, 0
    for _ in range(INSTANTS):
        if shape == "noise":
            value = draw.whole(0, 8) / 8
        elif shape == "walk":
            value = min(1.0, max(0.0, value + draw.whole(-1, 1) / 8))
        elif draw.chance(0.12):
            value = draw.one((0.0, 0.4, 0.1, 0.5, 1.0))
        if gaps and gap == 0 and draw.chance(0.08):
            gap = draw.one((1, 1, 2, 3, 4, 5, 6, 12, 25))
        values.append(None if gap else value)
        gap = max(0, gap - 1)
    return tuple(values)
