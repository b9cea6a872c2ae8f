"""Extra samples of mode Hybrid: of one target alone, at random instants, while it is restless, within a CPU budget."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from virtwatch_agent.collect.allowance import Allowance
from virtwatch_agent.judge.attention import Attention, bounds_of, levels_of
from virtwatch_agent.judge.target import Target
from virtwatch_agent.observations import Sample
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.policy import Level, Mode
from virtwatch_api.targets import TargetRef
from virtwatch_rules.inputs import Point

_SHORTEST_S = 1.0  # mean time between extra samples: what Continuous takes
_FILLED = 4  # intervals: a longer window is reported well by what is sampled anyway
_GLANCED = 2  # intervals: a mean over so many moves more slowly than it is sampled
_LEAST_INTERVAL_S = 2.0  # below which there is nothing to gain
_BUDGET_CPUS = 0.02  # for the extra samples of all targets of a node
# What pressure on a resource of the node may have changed; of each target, what rules ask of these.
_ROUSED: Mapping[str, tuple[Source, ...]] = {
    "cpu": (Source.KERNEL, Source.PRESSURE, Source.NODE, Source.NODE_PRESSURE),
    "memory": (Source.BALLOON, Source.PRESSURE, Source.NODE, Source.NODE_PRESSURE),
    "io": (Source.BLOCK, Source.DELAYS, Source.PRESSURE, Source.NODE_DISKS, Source.NODE_PRESSURE),
}
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
        self._allowance = Allowance(_BUDGET_CPUS)
        self._rouse_next: TargetRef | None = None  # which there was no CPU for
        self.taken = 0

    def plan(self, target: Target, wanted: Mapping[Source, float]) -> Mapping[str, Sequence[float]]:
        """Take what rules ask of a target, and how often each source is asked for it.

        Return what it is to be glanced at for in between: bounds by signal.
        """
        bounds: dict[str, list[float]] = {}
        glanced: dict[str, list[float]] = {}
        windows: dict[str, list[tuple[Level, float]]] = {}
        often = max(wanted.values(), default=0.0) < _LEAST_INTERVAL_S
        for effective, asked in target.evaluator.asked() if not often else ():
            if effective.thresholds.collection.mode is not Mode.HYBRID:
                continue
            body, signal, interval = effective.rule.body, asked.signal, asked.interval
            bounds.setdefault(signal, []).extend(bounds_of(body, signal))
            levels = [(level, window) for level, window in levels_of(body, signal) if window <= _FILLED * interval]
            windows.setdefault(signal, []).extend(levels)
            if asked.aggregate.window < _GLANCED * interval:
                glanced.setdefault(signal, []).extend(bounds_of(body, signal))
        if bounds:
            self._watched[target.ref] = _Watched(Attention(bounds, windows), dict(wanted))
        else:
            self._watched.pop(target.ref, None)
        return glanced if wanted.get(Source.KERNEL, 0.0) >= _LEAST_INTERVAL_S else {}

    def roused(self, resource: str, *, now: float) -> Iterator[tuple[TargetRef, Source]]:
        """Yield what to look at because pressure on a resource of the node rose: what may have changed by it."""
        watched = list(self._watched.items())
        first = next((at for at, (ref, _) in enumerate(watched) if ref == self._rouse_next), 0)
        for ref, one in (*watched[first:], *watched[:first]):
            for source in _ROUSED[resource]:
                if one.wanted.get(source, 0.0) < _LEAST_INTERVAL_S:
                    continue
                if not self._allowance.afford(_COST_S[source.asks_monitor], now=now):
                    self._rouse_next = ref  # else the same ones would be looked at each time
                    return
                self.taken += 1
                yield ref, source

    def forget(self, ref: TargetRef) -> None:
        """Drop a target that is gone."""
        self._watched.pop(ref, None)

    def after(self, ref: TargetRef, sample: Sample, points: Iterable[Point], *, now: float) -> float | None:
        """Return when to look again, after a look that was judged; None where its interval will do."""
        watched = self._watched.get(ref)
        interval = 0.0 if watched is None else watched.wanted.get(sample.source, 0.0)
        if watched is None or interval < _LEAST_INTERVAL_S:
            return None
        looks = watched.attention.more_looks(points, now=now)
        if not looks or not self._allowance.afford(_COST_S[sample.source.asks_monitor], now=now):
            return None
        self.taken += 1
        return now + max(_SHORTEST_S, interval / looks) * (0.5 + self._spread())
