"""Scores the detector on labelled series, by the rules of the Numenta Anomaly Benchmark's standard profile.

The data is not part of this repository: FOLDER is a checkout with `data/**/*.csv` and `labels/combined_windows.json`.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from virtwatch_rules.anomaly.detector import Detector

THRESHOLD = 0.5
_PROBATION, _MOST_PROBATION = 0.15, 750  # of a series: the share, and the points, that are not judged
_FALSE_COST = 0.11
_GROUP_S = 12 * 3600.0  # false alarms closer than this are one
_WEEK_S = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Labelled:
    """Hold a series and the windows in which something is wrong."""

    name: str
    times: Sequence[float]
    values: Sequence[float]
    windows: Sequence[tuple[float, float]]

    @property
    def first(self) -> int:
        """Return the first point that is judged."""
        return min(math.floor(_PROBATION * len(self.times)), _MOST_PROBATION)


@dataclass(slots=True)
class Outcome:
    """Add up what was found."""

    windows: int = 0
    found: int = 0
    false_groups: int = 0
    weeks: float = 0.0
    points: float = 0.0  # by the benchmark's rules

    @property
    def score(self) -> float:
        """Return the benchmark's score: 100 for all windows found at once and no false alarm, 0 for nothing said."""
        return 100.0 * (self.points + self.windows) / (2 * self.windows) if self.windows else 0.0


def read(folder: Path) -> Iterator[Labelled]:
    """Read all series."""
    windows: Mapping[str, list[list[str]]] = json.loads((folder / "labels/combined_windows.json").read_text())
    for name, spans in sorted(windows.items()):
        lines = (folder / "data" / name).read_text().splitlines()[1:]
        pairs = [line.split(",") for line in lines if line]
        yield Labelled(
            name,
            [_time(time) for time, _ in pairs],
            [float(value) for _, value in pairs],
            [(_time(begin), _time(end)) for begin, end in spans],
        )


def judge(series: Labelled, outcome: Outcome) -> None:
    """Score a series and add up what came of it."""
    detector = Detector()
    scores = [detector.take(at, value).score for at, value in zip(series.times, series.values, strict=True)]
    add(series, [score >= THRESHOLD for score in scores], outcome)


def add(series: Labelled, alarms: Sequence[bool], outcome: Outcome) -> None:
    """Add up a series by its alarms."""
    spans = [_indices(series, window) for window in series.windows]
    spans = [(max(begin, series.first), end) for begin, end in spans if end >= series.first]
    outcome.windows += len(spans)
    outcome.weeks += (series.times[-1] - series.times[series.first]) / _WEEK_S
    for begin, end in spans:
        first = next((index for index in range(begin, end + 1) if alarms[index]), None)
        outcome.found += first is not None
        width = _width(series, end)
        outcome.points += -1.0 if first is None else _weight(-(end - first + 1) / width) / _weight(-1.0)
    last = -math.inf
    for index in range(series.first, len(alarms)):
        if not alarms[index] or any(begin <= index <= end for begin, end in spans):
            continue
        outcome.false_groups += series.times[index] - last > _GROUP_S
        last = series.times[index]
        before = [end for _, end in spans if end < index]
        distance = (index - before[-1]) / max(1, _width(series, before[-1]) - 1) if before else math.inf
        outcome.points += _weight(distance) * _FALSE_COST


def _indices(series: Labelled, window: tuple[float, float]) -> tuple[int, int]:
    inside = [index for index, at in enumerate(series.times) if window[0] <= at <= window[1]]
    return inside[0], inside[-1]


def _width(series: Labelled, end: int) -> int:
    begin, last = next(span for span in (_indices(series, window) for window in series.windows) if span[1] == end)
    return last - begin + 1


def _weight(position: float) -> float:
    """Weigh an alarm by its place: -1 is the beginning of a window, 0 its end, 1 as far behind it."""
    return -1.0 if position > 3 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def _time(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
