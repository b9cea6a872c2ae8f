"""Windows that keep cells of several instants each: long ones, and all of them when memory is short.

The far edge of such a window moves by a cell at a time. What it aggregates is exact, but for P95, which is within 1 %.
"""

import math
from abc import abstractmethod
from array import array
from bisect import bisect_left

from virtwatch_api.policy import Function
from virtwatch_rules.windows import IDLE, NONE, ONE, ONE_INT, Window

FEWEST_CELLS = 8
_GROWTH = 1.02  # from one bin of a histogram to the next
_LOG = math.log(_GROWTH)
_ZERO = 1 << 13  # the bin of 0; those above are positive, those below negative
_SMALLEST = 1e-12
_MOST_OF_BIN = (1 << 16) - 1


class Coarse(Window):
    """Keep of each cell one value, of how many samples it is, and how often nothing happened."""

    __slots__ = ("cells", "counts", "idle_counts", "part_count", "part_idles", "stride", "taken")

    def __init__(self, size: int, interval: float, cells: int) -> None:
        super().__init__(1, interval)
        self.size = size
        self.stride = math.ceil(size / max(cells, FEWEST_CELLS))  # instants of a cell
        self.cells = array("d")  # of the whole cells, the oldest first
        self.counts = array("I")
        self.idle_counts = array("I")
        self.taken = self.part_count = self.part_idles = 0  # instants of the newest cell, which is not whole yet

    @property
    def bytes(self) -> int:
        """Return the memory that it holds."""
        return self.overhead + 16 * self.most_cells

    @property
    def most_cells(self) -> int:
        """Return how many cells it reaches back over."""
        return math.ceil(self.size / self.stride)

    def push(self, value: float | None, step: int) -> float:
        """Take it; what comes after its cell was closed counts for the next."""
        if step > 1:
            self.skip(step)
        if step == 0 and self.taken:
            self.taken -= 1
        if value is None:
            self.idles += 1
            self.part_idles += 1
        else:
            self.count += 1
            self.part_count += 1
            self.add(value)
        return self.push_gap()

    def push_gap(self) -> float:
        """Move on by one instant."""
        self.taken += 1
        self.filled = min(self.filled + 1, self.size)
        if self.taken >= self.stride:
            while len(self.counts) >= self.most_cells:
                self._drop_oldest()
            self.close()
            self.counts.append(self.part_count)
            self.idle_counts.append(self.part_idles)
            self.taken = self.part_count = self.part_idles = 0
        return self.value()

    def widen(self) -> None:
        """Join each two cells: half the memory."""
        counts, idle_counts = list(self.counts), list(self.idle_counts)
        odd = len(counts) % 2
        self.join(odd)
        self.counts = array("I", counts[:odd] + [sum(counts[at : at + 2]) for at in range(odd, len(counts), 2)])
        self.idle_counts = array(
            "I", idle_counts[:odd] + [sum(idle_counts[at : at + 2]) for at in range(odd, len(counts), 2)]
        )
        self.stride *= 2

    @abstractmethod
    def add(self, value: float) -> None:
        """Take a value into the newest cell; it is counted already."""

    @abstractmethod
    def close(self) -> None:
        """Keep the newest cell as a whole one, and begin another."""

    def open(self, value: float, count: int) -> None:
        """Take the oldest cell out of what runs along."""

    @abstractmethod
    def join(self, odd: int) -> None:
        """Join each two cells but the `odd` oldest."""

    def _drop_oldest(self) -> None:
        count = self.counts.pop(0)
        self.count -= count
        self.idles -= self.idle_counts.pop(0)
        self.open(self.cells.pop(0), count)


class CoarseTotal(Coarse):
    """Add up, average or count: a cell holds its sum, or its mean."""

    __slots__ = ("function", "part", "total")

    def __init__(self, size: int, interval: float, cells: int, function: Function) -> None:
        super().__init__(size, interval, cells)
        self.function = function
        self.part = self.total = 0

    def add(self, value: float) -> None:
        """Add it to the newest cell."""
        self.part += int(value * ONE)

    def close(self) -> None:
        """Keep the cell's sum or mean."""
        by = self.part_count if self.function is Function.AVG else 1
        value = self.part / (by * ONE_INT) if self.part_count else 0.0
        self.cells.append(value)
        self.total += self._weighed(value, self.part_count)
        self.part = 0

    def open(self, value: float, count: int) -> None:
        """Subtract the oldest cell."""
        self.total -= self._weighed(value, count)

    def join(self, odd: int) -> None:
        """Add each two sums, or average each two means."""
        joined, self.total = array("d"), 0
        for pair in [range(odd)] * odd + [range(at, at + 2) for at in range(odd, len(self.cells), 2)]:
            count = sum(self.counts[at] for at in pair)
            by = max(1, count) if self.function is Function.AVG else 1
            joined.append(sum(self._weighed(self.cells[at], self.counts[at]) for at in pair) / (by * ONE_INT))
            self.total += self._weighed(joined[-1], count)
        self.cells = joined

    def value(self) -> float:
        """Return the sum, mean or count."""
        if self.function is Function.COUNT:
            return float(self.count) if self.count or self.filled == self.size else NONE
        if not self.count:
            return NONE
        return (self.total + self.part) / (ONE_INT * (self.count if self.function is Function.AVG else 1))

    def _weighed(self, value: float, count: int) -> int:
        return int(value * ONE) * (count if self.function is Function.AVG else 1)


class CoarseExtreme(Coarse):
    """Hold the largest value, or with a sign of -1 the smallest."""

    __slots__ = ("part", "sign", "top")

    def __init__(self, size: int, interval: float, cells: int, sign: float) -> None:
        super().__init__(size, interval, cells)
        self.sign = sign
        self.part = self.top = -IDLE

    def add(self, value: float) -> None:
        """Compare it."""
        self.part = max(self.part, value * self.sign)

    def between(self, value: float | None, weight: float) -> float:  # noqa: ARG002
        """Compare it too."""
        if value is not None:
            self.add(value)
        return self.value()

    def close(self) -> None:
        """Keep the cell's largest."""
        self.cells.append(self.part)
        self.top, self.part = max(self.top, self.part), -IDLE

    def open(self, value: float, count: int) -> None:  # noqa: ARG002
        """Find the next where the largest left."""
        if value >= self.top:
            self.top = max(self.cells, default=-IDLE)

    def join(self, odd: int) -> None:
        """Keep the larger of each two."""
        cells = list(self.cells)
        self.cells = array("d", cells[:odd] + [max(cells[at : at + 2]) for at in range(odd, len(cells), 2)])

    def value(self) -> float:
        """Return it."""
        top = max(self.top, self.part)
        return top * self.sign if top > -IDLE else NONE


class CoarseRate(Coarse):
    """Divide the growth from the oldest cell's first value to the newest value by the time between them."""

    __slots__ = ("first", "first_at", "firsts_at", "instant", "last", "last_at")

    def __init__(self, size: int, interval: float, cells: int) -> None:
        super().__init__(size, interval, cells)
        self.first = self.last = 0.0
        self.first_at = self.last_at = self.instant = 0  # instants since it began
        self.firsts_at = array("q")

    def add(self, value: float) -> None:
        """Note it."""
        if self.part_count == 1:
            self.first, self.first_at = value, self.instant
        self.last, self.last_at = value, self.instant

    def push_gap(self) -> float:
        """Move on by one instant."""
        self.instant += 1
        return super().push_gap()

    def close(self) -> None:
        """Keep the cell's first value."""
        self.cells.append(self.first)
        self.firsts_at.append(self.first_at)

    def open(self, value: float, count: int) -> None:  # noqa: ARG002
        """Forget it."""
        del self.firsts_at[0]

    def join(self, odd: int) -> None:
        """Keep the first of each two that has one."""
        kept = list(range(odd)) + [
            at if self.counts[at] or not self.counts[at + 1] else at + 1 for at in range(odd, len(self.counts), 2)
        ]
        self.cells = array("d", [self.cells[at] for at in kept])
        self.firsts_at = array("q", [self.firsts_at[at] for at in kept])

    def value(self) -> float:
        """Return the growth per second."""
        oldest = next((at for at, count in enumerate(self.counts) if count), None)
        first, at = (self.first, self.first_at) if oldest is None else (self.cells[oldest], self.firsts_at[oldest])
        if self.count < 2:
            return NONE
        return (self.last - first) / ((self.last_at - at) * self.interval)


class CoarseQuantile(Coarse):
    """Hold the 95th percentile by a histogram of each cell, whose bins grow by 2 %."""

    __slots__ = ("bins", "entries", "lengths", "part", "room", "totals")

    def __init__(self, size: int, interval: float, cells: int) -> None:
        super().__init__(size, interval, cells)
        self.entries = array("I")  # bin and count, of the whole cells
        self.lengths = array("H")  # entries of each
        self.bins = array("H")  # of all samples, in order, and how many fell into each
        self.totals = array("I")
        self.part: dict[int, int] = {}
        self.room = 8 * max(cells, FEWEST_CELLS)  # entries; more make cells wider

    @property
    def bytes(self) -> int:
        """Return the memory that it holds at most, where its samples fall into no more bins than a quarter of its room.

        Entries take 4.5 bytes of it each, cells 2.5, bins 1.5: arrays grow by an eighth more than they need.
        """
        return self.overhead + 9 * self.room

    def add(self, value: float) -> None:
        """Count it in its bin."""
        number = _bin(value)
        self.part[number] = self.part.get(number, 0) + 1
        place = bisect_left(self.bins, number)
        if place == len(self.bins) or self.bins[place] != number:
            self.bins.insert(place, number)
            self.totals.insert(place, 0)
        self.totals[place] += 1

    def close(self) -> None:
        """Keep the cell's histogram."""
        self._keep(self.part)
        self.cells.append(0.0)
        self.part = {}
        while len(self.entries) > self.room and len(self.lengths) > FEWEST_CELLS:
            self.counts.append(self.part_count)
            self.idle_counts.append(self.part_idles)
            self.widen()
            self.part_count, self.part_idles = self.counts.pop(), self.idle_counts.pop()

    def open(self, value: float, count: int) -> None:  # noqa: ARG002
        """Take the oldest histogram out of the total."""
        length = self.lengths.pop(0)
        for entry in self.entries[:length]:
            number, many = entry >> 16, entry & _MOST_OF_BIN
            place = bisect_left(self.bins, number)
            self.totals[place] -= many
            if not self.totals[place]:
                del self.bins[place], self.totals[place]
        del self.entries[:length]

    def join(self, odd: int) -> None:
        """Add each two histograms."""
        histograms, at = [], 0
        for length in self.lengths:
            histograms.append([(entry >> 16, entry & _MOST_OF_BIN) for entry in self.entries[at : at + length]])
            at += length
        self.entries, self.lengths = array("I"), array("H")
        self.cells = array("d", [0.0] * (odd + len(histograms) // 2))
        groups = [histograms[:odd]] if odd else []
        groups += [histograms[at : at + 2] for at in range(odd, len(histograms), 2)]
        for group in groups:
            joined: dict[int, int] = {}
            for number, many in (pair for histogram in group for pair in histogram):
                joined[number] = joined.get(number, 0) + many
            self._keep(joined)

    def value(self) -> float:
        """Return the value of the bin that the rank falls into."""
        if not self.count:
            return NONE
        above = self.count - 1 - math.ceil(0.95 * (self.count - 1))  # samples above it
        for place in range(len(self.bins) - 1, -1, -1):
            above -= self.totals[place]
            if above < 0:
                return _middle(self.bins[place])
        return NONE

    def _keep(self, histogram: dict[int, int]) -> None:
        for number in sorted(histogram):
            self.entries.append(number << 16 | min(histogram[number], _MOST_OF_BIN))
        self.lengths.append(len(histogram))


def _bin(value: float) -> int:
    if abs(value) < _SMALLEST:
        return _ZERO
    steps = max(1, min(_ZERO - 1, round(math.log(abs(value) / _SMALLEST) / _LOG) + 1))
    return _ZERO + steps if value > 0 else _ZERO - steps


def _middle(number: int) -> float:
    steps = number - _ZERO
    if steps == 0:
        return 0.0
    return math.copysign(_SMALLEST * _GROWTH ** (abs(steps) - 1), steps)


def new_coarse(function: Function, size: int, interval: float, cells: int) -> Coarse:
    """Open a window of so many instants that keeps cells."""
    match function:
        case Function.MAX:
            return CoarseExtreme(size, interval, cells, 1.0)
        case Function.MIN:
            return CoarseExtreme(size, interval, cells, -1.0)
        case Function.RATE:
            return CoarseRate(size, interval, cells)
        case Function.P95:
            return CoarseQuantile(size, interval, cells)
        case _:
            return CoarseTotal(size, interval, cells, function)


def coarser(window: Window, function: Function, cells: int) -> Window:
    """Return a window of the same samples that keeps at most so many cells."""
    if isinstance(window, Coarse):
        while window.most_cells > max(cells, FEWEST_CELLS):
            window.widen()
        if isinstance(window, CoarseQuantile):
            window.room = min(window.room, 8 * max(cells, FEWEST_CELLS))
        return window
    if window.size <= 2 * cells or function is Function.LAST:
        return window
    coarse = new_coarse(function, window.size, window.interval, cells)
    for value in window.slots():
        if value == IDLE:
            coarse.push(None, 1)
        elif value == value:  # not NONE
            coarse.push(value, 1)
        else:
            coarse.push_gap()
    return coarse
