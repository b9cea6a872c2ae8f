"""The range that each feature has kept to in the last two to four weeks: two generations, of which the older ends."""

import math
from array import array
from collections.abc import Sequence

from virtwatch_rules.anomaly.features import FEATURES, HOUR, HOURS, RESTLESSNESS

GENERATION_S = 14 * 86400.0
GENERATION_POINTS = 4000
_ROUNDING = 1e-6
_WIDEST = 100.0
_SPAN = 10.0  # a range of few independent points is narrower than what is usual: points per need
_EVERY = 24  # points: slow figures are judged, then learned
_RESTLESS_POINTS = 25 * _EVERY  # before it counts: of so slow a figure a short time tells little
# An excess of this share of the range is as likely an anomaly as not: chosen on public labelled series.
_EVEN_ODDS = 0.085
_COUNT = len(FEATURES)
_NEEDS = tuple(feature.needs for feature in FEATURES)
_WEIGHTS = tuple(feature.weight for feature in FEATURES)
_NARROWEST = tuple(feature.least for feature in FEATURES)
_LATE = tuple(feature.late for feature in FEATURES)
_MARGINS = tuple(feature.margin for feature in FEATURES)


class Ranges:
    """Hold lowest and highest of each feature, over the current and the previous generation."""

    __slots__ = ("begun", "highs", "late_highs", "late_lows", "learned", "lows", "points", "young_highs", "young_lows")

    def __init__(self) -> None:
        self.lows, self.highs = _empty()
        self.young_lows, self.young_highs = _empty()  # of the current generation alone
        self.begun = 0.0
        self.points = 0  # of this generation
        self.learned = 0
        self.late_lows, self.late_highs = _empty()  # not learned yet

    def span(self, feature: int) -> tuple[float, float]:
        """Return a feature's range; (inf, -inf) before the first value."""
        return self.lows[feature], self.highs[feature]

    def excess(self, features: Sequence[float], *, run: int, floor: float, seasonal: bool) -> list[float]:
        """Return each feature's excess over its range in weighted widths of the range, negative below; 0 within it."""
        found = [0.0] * _COUNT
        for index, (value, low, high) in enumerate(zip(features, self.lows, self.highs, strict=False)):
            if low <= value <= high or low > high or run < _NEEDS[index]:
                continue
            if HOUR <= index <= HOURS and not seasonal:
                continue
            if _LATE[index] and run % _EVERY:
                continue
            if index == RESTLESSNESS and self.learned < _RESTLESS_POINTS:
                continue
            over = value - high if value > high else value - low
            narrowest = _NARROWEST[index] or floor
            if abs(over) > max(_ROUNDING * (abs(high) + abs(low)), _NARROWEST[index] / 10 or floor):
                width = max(high - low, narrowest) * (1 + _SPAN * _NEEDS[index] / self.learned)
                found[index] = max(-_WIDEST, min(_WIDEST, over * _WEIGHTS[index] / (width + 1e-12)))
        return found

    def learn(self, at: float, features: Sequence[float], *, run: int) -> None:
        """Widen the ranges to hold a point's features; begin a new generation when it is time."""
        for index, value in enumerate(features):
            if run < _NEEDS[index]:
                continue
            if _LATE[index]:
                self._learn_late(index, value, run)
            elif not self.young_lows[index] <= value <= self.young_highs[index]:
                self._widen(index, value)
        if not self.points:
            self.begun = at
        self.points += 1
        self.learned += 1
        if self.points >= GENERATION_POINTS and at - self.begun >= GENERATION_S:
            self.lows, self.highs = self.young_lows, self.young_highs
            self.young_lows, self.young_highs = _empty()
            self.points = 0

    def _widen(self, index: int, value: float) -> None:
        low, high = self.lows[index], self.highs[index]
        margin = _MARGINS[index] * max(0.0, value - low, high - value) if low <= high else 0.0
        low, high = value - margin, value + margin
        if not low >= self.young_lows[index]:
            self.young_lows[index] = low
        if not high <= self.young_highs[index]:
            self.young_highs[index] = high
        self.lows[index], self.highs[index] = min(low, self.lows[index]), max(high, self.highs[index])

    def _learn_late(self, index: int, value: float, run: int) -> None:
        """Learn a slow figure late: it changes a little at each point, and would else never be far out of its range."""
        self.late_lows[index] = min(self.late_lows[index], value)
        self.late_highs[index] = max(self.late_highs[index], value)
        if run % _EVERY == 0:
            self._widen(index, self.late_lows[index])
            self._widen(index, self.late_highs[index])
            self.late_lows[index], self.late_highs[index] = math.inf, -math.inf


def _empty() -> "tuple[array[float], array[float]]":
    return array("d", [math.inf] * _COUNT), array("d", [-math.inf] * _COUNT)


def novelty(excess: Sequence[float]) -> float:
    """Join the features' excesses into one score from 0 to 1."""
    usual = 1.0
    for value in excess:
        if value:
            usual *= _EVEN_ODDS / (_EVEN_ODDS + abs(value))
    return 1.0 - usual
