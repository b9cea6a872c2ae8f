"""The samples of one signal over a time, aggregated as Prometheus' functions over ranges do."""

import math
from collections import deque

from virtwatch_api.policy import Aggregate, Function


class Window:
    """Aggregate the samples of one signal as Prometheus' `*_over_time` do, over (now - window, now]."""

    def __init__(self, aggregate: Aggregate) -> None:
        self._aggregate = aggregate
        self._samples: deque[tuple[float, float]] = deque(maxlen=1 if aggregate.function is Function.LAST else None)
        self._begun: float | None = None  # monotonic seconds of the first sample

    def whole(self, clock: float) -> bool:
        """Tell whether samples have come for as long as the window reaches back."""
        return self._begun is not None and clock - self._begun >= self._aggregate.window

    def add(self, clock: float, value: float) -> None:
        """Take a sample; `clock` in monotonic seconds."""
        self._begun = clock if self._begun is None else self._begun
        self._samples.append((clock, value))
        self._forget(clock)

    def value(self, clock: float) -> float | None:
        """Return the aggregate as of `clock`; None when the window holds too little to tell."""
        self._forget(clock)
        values = [value for _, value in self._samples]
        if not values:
            return None
        return self._aggregated(values)

    def _aggregated(self, values: list[float]) -> float | None:
        match self._aggregate.function:
            case Function.LAST:
                return values[-1]
            case Function.AVG:
                return math.fsum(values) / len(values)
            case Function.MAX:
                return max(values)
            case Function.MIN:
                return min(values)
            case Function.P95:
                return _quantile(0.95, sorted(values))
            case Function.SUM:
                return math.fsum(values)
            case Function.COUNT:
                return float(len(values))
            case Function.RATE:
                return self._rate()

    def _rate(self) -> float | None:
        (first_clock, first), (last_clock, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_clock - first_clock) if last_clock > first_clock else None

    def _forget(self, clock: float) -> None:
        if self._aggregate.function is Function.LAST:
            return
        edge = clock - self._aggregate.window
        while self._samples and self._samples[0][0] <= edge:
            self._samples.popleft()


def _quantile(share: float, ordered: list[float]) -> float:
    """Return what Prometheus' quantile_over_time does: where no sample is the quantile, a point between two."""
    rank = share * (len(ordered) - 1)
    below = math.floor(rank)
    lower, upper = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return lower + (upper - lower) * (rank - below)  # exact where both are equal: a value at its bound is no breach
