"""Scores one series point by point from what the points before have taught: no look-ahead, a few KiB of state."""

import math
from collections.abc import Sequence as Values
from typing import NamedTuple

from virtwatch_rules.anomaly.features import LEVEL
from virtwatch_rules.anomaly.ranges import Ranges, novelty
from virtwatch_rules.anomaly.season import Season, cell_of
from virtwatch_rules.anomaly.sequence import Sequence

WARM_UP_POINTS = 150
MOST_VALUE = 1e150  # what is learned holds squares: those of larger values are no numbers
_MEMORY_POINTS = 2000  # of mean and variance
_GAP_INTERVALS = 12
_STEPS = 6  # over which a change is taken
_BAND = 4.0  # standard deviations
_MOST_FOR_KNOWN = 0.4  # what is out of the band but within the range was seen before: never an anomaly by itself
_LEAST_CHANGE = 0.005  # of the mean: less is noise, however constant the series was
_MOST_SWING = 4.0
_STILL = 0.01  # deviations; what moves less than this stands still


class Score(NamedTuple):
    """Judge one point: `score` from 0 to 1 (0 in warm-up), the expected band, and the feature that counts most."""

    score: float
    lower: float | None
    upper: float | None
    feature: int = LEVEL
    excess: float = 0.0  # of that feature, in widths of its range; negative below it
    low: float = 0.0  # the range of that feature before this point
    high: float = 0.0
    known: float = 0.0  # how far out of the band, in standard deviations


UNKNOWN = Score(0.0, None, None)


class Detector:
    """Learn one series; `floor` is the least change that matters, in the series' unit (0: by the series' own level)."""

    __slots__ = (
        "features", "floor", "interval", "last", "long", "mean", "middle", "points", "ranges", "recent", "restless",
        "run", "season", "sequence", "short", "strange", "unusual",
        "variance",
    )  # fmt: skip

    def __init__(self, floor: float = 0.0) -> None:
        self.floor = floor
        self.points = 0
        self.run = 0  # points since the last gap
        self.last = -math.inf  # seconds since 1970 of the last point
        self.interval = 0.0  # seconds, typical
        self.mean = self.variance = 0.0
        self.short = self.middle = self.long = self.strange = self.restless = self.unusual = 0.0
        self.recent: list[float] = []
        self.features: list[float] = []
        self.season = Season()
        self.sequence = Sequence()
        self.ranges = Ranges()

    def take(self, at: float, value: float, *, learn: bool = True) -> Score:
        """Score a value of the time `at` (seconds since 1970), then learn it.

        No number, or one beyond MOST_VALUE, is neither scored nor learned; a point that is not newer than the last one
        is scored by its level alone, and not learned. Without `learn` the short memory continues, and what is normal
        stays as it is.
        """
        if not abs(value) <= MOST_VALUE:
            return UNKNOWN
        if at <= self.last:
            return self._judge(value, self.season.expected(cell_of(at)), (value,))
        self._note_time(at)
        cell = cell_of(at)
        usual = self.season.expected(cell)
        self._update(value, usual, learn=learn)
        judged = self._judge(value, usual, self.features)
        if learn:
            self._learn(at, value, cell, usual)
        return judged

    @property
    def warm(self) -> bool:
        """Return whether enough was seen to score."""
        return self.points >= WARM_UP_POINTS

    def _note_time(self, at: float) -> None:
        step = at - self.last
        if self.points and self.interval:
            if step > _GAP_INTERVALS * self.interval:
                self.run = 0
            else:
                self.interval += (step - self.interval) / 20
        elif self.points:
            self.interval = step
        self.last = at

    def _update(self, value: float, usual: float | None, *, learn: bool) -> None:
        recent = self.recent
        if not self.run:
            self.short = self.middle = self.long = value
            self.strange = self.unusual = 0.0
            recent.clear()
            self.sequence.at = -1
        self.run += 1
        self.short += (value - self.short) / 3.5
        self.middle += (value - self.middle) / 12.5
        # One spike is no slow rise: beyond the range it counts as the range's end, as in the mean of the hours below.
        low, high = self.ranges.span(LEVEL)
        tame = min(max(value, low), high) if self.warm else value
        self.long += (tame - self.long) / 36.5
        step = value - recent[-1] if recent else 0.0
        recent.append(value)
        change = value - recent[0]
        if abs(value - self.mean) < abs(recent[0] - self.mean):
            change = 0.0  # back towards what is usual: the echo of an anomaly is none
        if len(recent) > _STEPS:
            recent.pop(0)
        deviation = math.sqrt(self.variance) + 1e-12
        surprise = self.sequence.surprise((value - self.mean) / deviation, learn=learn)
        if surprise is not None:
            self.strange += (surprise - self.strange) / 3.5
        # One jump is no restlessness: it counts as four usual steps at most.
        swing = min(abs(step), max(_MOST_SWING * self.restless, _STILL * deviation)) if self.warm else abs(step)
        self.restless += (swing - self.restless) / 12.5
        unusual = value - usual if usual is not None else 0.0
        self.unusual += ((tame - usual if usual is not None else 0.0) - self.unusual) / 12.5
        self.features = [
            value,
            self.short,
            self.middle,
            self.long,
            change,
            unusual,
            self.unusual,
            self.strange,
            math.log(self.restless / deviation + _STILL),
        ]

    def _judge(self, value: float, usual: float | None, features: Values[float]) -> Score:
        low, high = self.ranges.span(LEVEL)
        if low > high:
            return UNKNOWN
        seasonal = self.season.better
        centre = usual if seasonal and usual is not None else self.mean
        deviation = math.sqrt(self.season.error if centre is usual else self.season.plain_error)
        lower, upper = max(low, centre - _BAND * deviation), min(high, centre + _BAND * deviation)
        if lower > upper:
            lower, upper = low, high
        floor = max(self.floor, _LEAST_CHANGE * abs(self.mean))
        if upper - lower < 2 * floor:
            middle = (lower + upper) / 2
            lower, upper = middle - floor, middle + floor
        if not self.warm:
            return Score(0.0, lower, upper)
        out = max(lower - value, value - upper, 0.0) / (deviation + 1e-12)
        known = min(out, 100.0)
        score = _MOST_FOR_KNOWN * (1.0 - math.exp(-known)) if known else 0.0
        excess = self.ranges.excess(features, run=self.run, floor=floor, seasonal=seasonal)
        if not any(excess):
            return Score(score, lower, upper, known=known)
        feature = max(range(len(excess)), key=lambda index: abs(excess[index]))
        score = max(score, novelty(excess))
        return Score(score, lower, upper, feature, excess[feature], *self.ranges.span(feature), known)

    def _learn(self, at: float, value: float, cell: int, usual: float | None) -> None:
        self.points += 1
        apart = value - self.mean
        if usual is not None:
            self.season.compare(value - usual, apart)
        else:
            self.season.compare(apart, apart)
        self.season.learn(cell, value)
        weight = max(1.0 / self.points, 1.0 / _MEMORY_POINTS)
        self.mean += weight * apart
        self.variance += weight * (apart * apart - self.variance)
        self.ranges.learn(at, self.features, run=self.run)
