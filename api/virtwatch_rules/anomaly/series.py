"""One signal of one device in a rule: its detector, and the anomaly that it is in, which it does not learn from."""

import math
from dataclasses import dataclass

from virtwatch_rules.anomaly.detector import Detector, Score
from virtwatch_rules.anomaly.features import FEATURES

ONSET = 0.5  # a score from which a point is an anomaly, as measured on labelled series
ACCEPT_S = 2 * 3600.0  # after which what no alert came of is the new normal
ACCEPT_ALERT_S = 24 * 3600.0  # and what an alert came of
_SETTLE_S = 6 * 3600.0
_HALF_LIFE_S = 300.0  # of the surprise after an anomaly has ended, in which another signal's adds to it
_MOST_SURPRISE = 5.0
_SILENT_S = 900.0
# A value out of its band that was out of it before: it sets no record, but counts when it lasts.
_KNOWN_TAU = 6.0  # points
_KNOWN_FULL = 3.0  # standard deviations beyond the band
_NEGLIGIBLE = 0.01


@dataclass(slots=True)
class Episode:
    """Hold an anomaly that continues: since when, what it is, and the range that it must come back to."""

    since: float
    feature: int
    above: bool
    low: float
    high: float
    score: float
    value: float  # at the highest score
    lower: float  # the expected band before it
    upper: float

    @property
    def surprise(self) -> float:
        """Return how unlikely its highest score is, on a scale that adds up over signals."""
        return min(_MOST_SURPRISE, -math.log(max(1e-9, 1.0 - self.score)))

    @property
    def kind(self) -> str:
        """Say in words what is unusual."""
        feature = FEATURES[self.feature]
        return feature.above if self.above else feature.below


class Series:
    """Follow one series; values come about once a minute."""

    __slots__ = ("detector", "episode", "known", "last", "settling", "surprise", "value")

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.episode: Episode | None = None
        self.last: Episode | None = None  # the episode that has ended, while its surprise lasts
        self.surprise = 0.0
        self.known = 0.0
        self.value = math.nan
        self.settling = -math.inf  # until then a new normal is learned, and nothing is an anomaly

    def take(self, at: float, value: float, *, paused: bool, alert: bool) -> None:
        """Take a value; `paused` while the target does what is no normal run, `alert` while the rule's alert fires."""
        self._fade(at)
        before = self.episode
        accepted = before is not None and at - before.since >= (ACCEPT_ALERT_S if alert else ACCEPT_S)
        if accepted:
            self.settling, self.surprise = at + _SETTLE_S, 0.0
        score = self.detector.take(at, value, learn=not paused and (before is None or accepted))
        self.value = value
        self.known += (min(score.known, _KNOWN_FULL) / _KNOWN_FULL - self.known) / _KNOWN_TAU
        if before is not None and (accepted or self._back(before)):
            self.last, self.episode = before, None
        if score.score >= ONSET and not paused and at >= self.settling:
            self._note(at, value, score)
        if self.episode is not None:
            self.surprise = max(self.surprise, self.episode.surprise)

    def quiet(self, at: float) -> None:
        """End an anomaly of which nothing is received any more, and let its surprise fade."""
        if at - self.detector.last >= _SILENT_S:
            self.last, self.episode = self.episode or self.last, None
            self.known = 0.0
            self._fade(at)

    def moved(self, seconds: float) -> None:
        """Follow a clock that was set."""
        self.detector.last += seconds
        self.settling += seconds
        for episode in (self.episode, self.last):
            if episode is not None:
                episode.since += seconds

    @property
    def weight(self) -> float:
        """Return what the series adds to its target's sum."""
        return self.surprise + self.known

    def _fade(self, at: float) -> None:
        if self.episode is not None:
            return
        self.surprise *= 0.5 ** (max(0.0, at - self.detector.last) / _HALF_LIFE_S)
        if self.surprise < _NEGLIGIBLE:
            self.surprise, self.last = 0.0, None

    def _back(self, episode: Episode) -> bool:
        return episode.low <= self.detector.features[episode.feature] <= episode.high

    def _note(self, at: float, value: float, score: Score) -> None:
        """Begin an anomaly, or note that it got worse; what it has to come back from stays what it began with."""
        if self.episode is not None:
            if score.score > self.episode.score:
                self.episode.score, self.episode.value = score.score, value
            return
        assert score.lower is not None
        assert score.upper is not None
        begun = self.last
        self.episode = Episode(
            since=begun.since if begun else at,
            feature=score.feature,
            above=score.excess > 0,
            low=score.low,
            high=score.high,
            score=score.score,
            value=value,
            lower=begun.lower if begun else score.lower,
            upper=begun.upper if begun else score.upper,
        )
