"""A histogram whose buckets grow with what it holds: base 2, exponential, as OTLP's ExponentialHistogram."""

import math

_FINEST = 5  # scale: 32 buckets for each doubling, 2 % wide
_MOST_BUCKETS = 160
ZERO = 1e-6  # up to here a value counts as 0: a share, or seconds


class ExponentialHistogram:
    """Count values; where they lie too far apart for its buckets, all of them become twice as wide."""

    __slots__ = ("buckets", "count", "scale", "total", "zeros")

    def __init__(self) -> None:
        self.scale = _FINEST
        self.buckets: dict[int, int] = {}
        self.zeros = 0
        self.count = 0
        self.total = 0.0

    def record(self, value: float) -> None:
        """Count one value; one that is negative or not finite is no measurement."""
        if not 0 <= value < math.inf:
            return
        self.count += 1
        self.total += value
        if value <= ZERO:
            self.zeros += 1
            return
        index = self._index(value)
        if index in self.buckets:
            self.buckets[index] += 1
            return
        self.buckets[index] = 1
        while max(self.buckets) - min(self.buckets) >= _MOST_BUCKETS:
            self._widen()

    def _index(self, value: float) -> int:
        """Return the bucket of a value: its lower edge is not in it, its upper edge is."""
        return math.ceil(math.log2(value) * 2.0**self.scale) - 1

    def _widen(self) -> None:
        self.scale -= 1
        before, self.buckets = self.buckets, {}
        for index, count in before.items():
            self.buckets[index >> 1] = self.buckets.get(index >> 1, 0) + count
