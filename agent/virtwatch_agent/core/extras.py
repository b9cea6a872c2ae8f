"""Extra samples of mode Hybrid: of one target alone, at random instants, while it is restless, within a CPU budget."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from virtwatch_agent.judge.attention import Attention, bounds_of
from virtwatch_agent.judge.target import Target
from virtwatch_agent.observations import Sample
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.policy import Mode
from virtwatch_api.targets import TargetRef
from virtwatch_rules.inputs import Point

_SHORTEST_S = 1.0  # mean time between extra samples: what Continuous takes
_PARTS = 8  # of an interval, between extra samples
_LEAST_INTERVAL_S = 2.0  # below which there is nothing to gain
_BUDGET_CPUS = 0.02  # for the extra samples of all targets of a node
_SAVED_S = 5.0  # for how long what is not used is saved
_COST_S = {True: 3e-3, False: 1e-4}  # of one look, by whether it asks QEMU's monitor


@dataclass(frozen=True, slots=True)
class _Watched:
    attention: Attention
    wanted: Mapping[Source, float]


class Extras:
    """Say when a target is to be looked at once more; times are monotonic seconds."""

    def __init__(self, spread: Callable[[], float] = random.random) -> None:
        """`spread` returns numbers from 0 to 1."""
        self._spread = spread
        self._watched: dict[TargetRef, _Watched] = {}
        self._saved = _BUDGET_CPUS * _SAVED_S
        self._at = 0.0
        self.taken = 0

    def plan(self, target: Target, wanted: Mapping[Source, float]) -> None:
        """Take what rules ask of a target, and how often each source is asked for it."""
        bounds: dict[str, list[float]] = {}
        for effective, asked in target.evaluator.asked():
            if effective.thresholds.collection.mode is Mode.HYBRID:
                bounds.setdefault(asked.signal, []).extend(bounds_of(effective.rule.body, asked.signal))
        if bounds:
            self._watched[target.ref] = _Watched(Attention(bounds), dict(wanted))
        else:
            self._watched.pop(target.ref, None)

    def forget(self, ref: TargetRef) -> None:
        """Drop a target that is gone."""
        self._watched.pop(ref, None)

    def after(self, ref: TargetRef, sample: Sample, points: Iterable[Point], *, now: float) -> float | None:
        """Return when to look again, after a look that was judged; None where its interval will do."""
        watched = self._watched.get(ref)
        if watched is None or not watched.attention.worth_another(points):
            return None
        interval = watched.wanted.get(sample.source, 0.0)
        if interval < _LEAST_INTERVAL_S or not self._afford(_COST_S[sample.source.asks_monitor], now):
            return None
        self.taken += 1
        return now + max(_SHORTEST_S, interval / _PARTS) * (0.5 + self._spread())

    def _afford(self, seconds: float, now: float) -> bool:
        self._saved = min(self._saved + (now - self._at) * _BUDGET_CPUS, _BUDGET_CPUS * _SAVED_S)
        self._at = now
        if self._saved < seconds:
            return False
        self._saved -= seconds
        return True
