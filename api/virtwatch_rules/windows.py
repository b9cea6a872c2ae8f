"""How the samples of one signal become one value: Prometheus' `*_over_time` over (at - window, at], kept up to date.

A window has one slot for each instant of its rule's grid; a slot holds a value, that nothing happened (IDLE), or
nothing (a gap). Sums run along in fixed point, so that they never drift and an average of a constant is that constant.
"""

import math
import sys
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator

from virtwatch_api.policy import Function

NONE = math.nan  # no value: a gap, or a window without one
IDLE = math.inf  # nothing happened that could be measured; all values are below it
_NOTHING = -math.inf  # below all values
# Fixed point: exact for values of 1e-32 and more; what is smaller is nothing.
ONE = float(1 << 160)
ONE_INT = 1 << 160
LARGEST = 1e200  # a value beyond it is no measurement


class Window(ABC):
    """Aggregate the newest `size` slots; `interval` (seconds) lies between two of them."""

    __slots__ = ("count", "filled", "idles", "interval", "position", "ring", "size")

    overhead = 900  # bytes beside its slots, as measured: the objects that lead to it

    def __init__(self, size: int, interval: float) -> None:
        self.size = size
        self.interval = interval
        self.ring = array("d", [NONE]) * size
        self.position = size - 1
        self.count = 0  # slots that hold a value
        self.idles = 0  # slots in which nothing happened
        self.filled = 0  # slots since it began, at most `size`

    @property
    def bytes(self) -> int:
        """Return the memory that it holds."""
        return self.overhead + self.size * 8

    @abstractmethod
    def push(self, value: float | None, step: int) -> float:
        """Take the sample of a grid instant, `step` instants after the newest; return the aggregate, NONE without one.

        A step of 0 fills the newest slot, whose sample came late.
        """

    @abstractmethod
    def value(self) -> float:
        """Return the aggregate; NONE without one."""

    def between(self, value: float | None, weight: float) -> float:  # noqa: ARG002
        """Take a sample between two instants of the grid, `weight` seconds after the one before it."""
        return self.value()

    def skip(self, step: int) -> None:
        """Move on by all but the last of `step` instants without a sample; by -1 where that is the newest again."""
        if step == 0:
            self.position -= 1
            self.filled -= 1
            return
        for _ in range(min(step - 1, self.size)):
            self.push_gap()

    def push_gap(self) -> float:
        """Move on by one instant without a sample."""
        self.position = position = (self.position + 1) % self.size
        old = self.ring[position]
        self.ring[position] = NONE
        self.filled = min(self.filled + 1, self.size)
        if old == IDLE:
            self.idles -= 1
        elif old == old:  # not NONE
            self.count -= 1
            self.leave(old)
        return self.value()

    def rest(self, low: float, high: float) -> None:  # noqa: B027 - most have their value at hand
        """Note the band in which nobody looks at the value."""

    def leave(self, old: float) -> None:  # noqa: B027 - most keep nothing beside the ring
        """Take a value out of what runs along; it is out of the ring already."""

    def slots(self) -> Iterator[float]:
        """Yield its slots, the oldest first."""
        first = self.position + 1
        for index in range(self.size - self.filled, self.size):
            yield self.ring[(first + index) % self.size]


class Last(Window):
    """Hold the newest value."""

    __slots__ = ()

    def push(self, value: float | None, step: int) -> float:
        """Take it."""
        if step > 1:
            self.skip(step)
        self.filled = 1
        if value is None:
            self.ring[0], self.count, self.idles = NONE, 0, 1
            return NONE
        self.ring[0], self.count, self.idles = value, 1, 0
        return value

    def push_gap(self) -> float:
        """Keep the newest value: it stands until it is too old to count."""
        return self.ring[0]

    def value(self) -> float:
        """Return it."""
        return self.ring[0]

    def between(self, value: float | None, weight: float) -> float:  # noqa: ARG002
        """Take it as any other."""
        return self.push(value, 0)


class Total(Window):
    """Add the values up.

    While all who watch sleep, and every slot holds a value, it adds them up roughly: in floating point, whose error is
    bounded. That tells whether the value is surely within their band; where it may not be, the sum is made anew.
    """

    __slots__ = ("high", "least", "low", "most", "part", "part_weight", "rough", "total", "unit", "within")

    overhead = 1150

    def __init__(self, size: int, interval: float) -> None:
        super().__init__(size, interval)
        self.total = 0
        self.unit = ONE_INT
        self.part = 0.0  # mean of the extra samples since the newest instant
        self.part_weight = 0.0  # their seconds
        self.low, self.high = IDLE, -IDLE
        self.rough = NONE  # the sum while it is rough; `total` stands still then
        self.least = self.most = self.within = 0.0  # between which it tells enough, and a value of the band

    def rest(self, low: float, high: float) -> None:
        """Add up roughly while the value is in another band."""
        self.low, self.high = low, high
        if low <= high:
            self._add_roughly()
        elif self.rough == self.rough:
            self._add_up()

    def push(self, value: float | None, step: int) -> float:
        """Take it, and what came since the instant before it where that counts."""
        position = self.position + 1
        if position == self.size:
            position = 0
        ring = self.ring
        if value is not None and step == 1:
            rough = self.rough + (value - ring[position])
            if self.least <= rough <= self.most:
                ring[position] = value
                self.position = position
                self.rough = rough if position else math.fsum(ring)
                return self.within
        return self._push_exactly(value, step)

    def _push_exactly(self, value: float | None, step: int) -> float:
        if self.rough == self.rough:
            self._add_up()
        elif self.part_weight:
            value = self._with_part(value, step)
        if step != 1:
            self.skip(step)
        self.position = position = (self.position + 1) % self.size
        ring = self.ring
        old = ring[position]
        if self.filled < self.size:
            self.filled += 1
        if value is None:
            ring[position] = IDLE
            self.idles += 1
            self._take_out(old)
        elif old < IDLE:  # no gap, and something happened: the usual way
            ring[position] = value
            self.total += int(value * ONE) - int(old * ONE)
        else:
            ring[position] = value
            self._take_out(old)
            self.count += 1
            self.unit = self._unit()
            self.total += int(value * ONE)
        if not position:
            self._add_roughly()
        return self.total / self.unit if self.count else NONE

    def push_gap(self) -> float:
        """Move on by one instant without a sample."""
        if self.rough == self.rough:
            self._add_up()
        return super().push_gap()

    def leave(self, old: float) -> None:
        """Subtract it."""
        self.total -= int(old * ONE)
        self.unit = self._unit()

    def _take_out(self, old: float) -> None:
        if old < IDLE:
            self.count -= 1
            self.leave(old)
        elif old == IDLE:
            self.idles -= 1

    def _unit(self) -> int:
        """Return by what the total is divided."""
        return ONE_INT

    def _add_up(self) -> None:
        """Make the sum exact again."""
        self.rough = NONE
        self.total = sum([int(value * ONE) for value in self.ring])

    def _add_roughly(self) -> None:
        """Begin to add up roughly, where somebody sleeps and every slot holds a value.

        Each of the values that come in one turn of the ring changes the sum by two roundings; the sum and the values
        stay below `peak`, or it is made exact.
        """
        if self.low > self.high or self.count < self.size or self.part_weight:
            return  # as it is: exact
        many = self.unit / ONE_INT
        peak = 16.0 * (math.fsum(map(abs, self.ring)) + many)
        error = 4.0 * self.size * sys.float_info.epsilon * peak
        self.least = max(self.low * many + error, -peak)
        self.most = min(self.high * many - error, peak)
        self.within = _inside(self.low, self.high)
        self.rough = math.fsum(self.ring)

    def _with_part(self, value: float | None, step: int) -> float | None:
        before, self.part_weight = self.part_weight, 0.0
        if value is None or step != 1:
            return value
        weight = max(self.interval - before, 0.0)
        return self.part + (value - self.part) * (weight / (weight + before))

    def value(self) -> float:
        """Return the sum."""
        if self.rough == self.rough:
            self._add_up()
        return self.total / self.unit if self.count else NONE


class Average(Total):
    """Average the values; samples between two instants count by their time."""

    __slots__ = ()

    def _unit(self) -> int:
        return self.count * ONE_INT

    def push_gap(self) -> float:
        """Move on without a sample."""
        self.part_weight = 0.0
        return super().push_gap()

    def between(self, value: float | None, weight: float) -> float:
        """Weigh it by the time since the sample before it, one interval at most."""
        if self.rough == self.rough:
            self._add_up()
        if value is not None:
            weight = min(weight, self.interval - self.part_weight)
            if weight > 0:
                self.part_weight += weight
                self.part += (value - self.part) * (weight / self.part_weight)
        return self.value()

    def value(self) -> float:
        """Return the mean."""
        if not self.part_weight:
            return super().value()
        if not self.count:
            return self.part
        mean, weight = self.total / self.unit, self.part_weight / self.interval
        return mean + (self.part - mean) * (weight / (self.count + weight))


class Extreme(Window):
    """Hold the largest value, or with a sign of -1 the smallest: the largest of the values times the sign."""

    __slots__ = ("part", "sign", "top")

    def __init__(self, size: int, interval: float, sign: float = 1.0) -> None:
        super().__init__(size, interval)
        self.sign = sign
        self.top = _NOTHING  # of the ring, which holds values times the sign
        self.part = _NOTHING  # of what came since the newest instant

    def push(self, value: float | None, step: int) -> float:
        """Take it, with what came since the instant before it."""
        position = self.position + 1
        if position == self.size:
            position = 0
        ring = self.ring
        if value is not None and step == 1 and self.part == _NOTHING:
            new, top = value * self.sign, self.top
            if new <= top > ring[position]:  # the usual way: one that was not the largest makes room for another
                ring[position] = new
                self.position = position
                return top * self.sign
        return self._push_anything(value, step)

    def _push_anything(self, value: float | None, step: int) -> float:
        if step != 1:
            self.skip(step)
        self.position = position = (self.position + 1) % self.size
        ring = self.ring
        old = ring[position]
        if self.filled < self.size:
            self.filled += 1
        new = self.part if value is None else value * self.sign
        if self.part > _NOTHING:
            new, self.part = max(self.part, new), _NOTHING
        if new > _NOTHING:
            ring[position] = new
            self.count += 1
            if new > self.top:
                self.top = new
        else:
            ring[position] = IDLE
            self.idles += 1
        if old < IDLE:
            self.count -= 1
            if old >= self.top:
                self.leave(old)
        elif old == IDLE:
            self.idles -= 1
        return self.top * self.sign if self.count else NONE

    def push_gap(self) -> float:
        """Move on without a sample; what came since the newest instant goes with it."""
        self.part = _NOTHING
        return super().push_gap()

    def leave(self, old: float) -> None:
        """Find the next one where the largest left."""
        if old >= self.top:
            self.top = max((value for value in self.ring if value < IDLE), default=_NOTHING)

    def between(self, value: float | None, weight: float) -> float:  # noqa: ARG002
        """Take it until the sample that comes next takes it along."""
        if value is not None:
            self.part = max(self.part, value * self.sign)
        return self.value()

    def value(self) -> float:
        """Return it."""
        top = max(self.top if self.count else _NOTHING, self.part)
        return top * self.sign if top > _NOTHING else NONE

    def slots(self) -> Iterator[float]:
        """Yield its slots, the oldest first."""
        for value in super().slots():
            yield value * self.sign if value < IDLE else value


class Count(Window):
    """Count the values; no value is 0, once there was one or as much time has passed as it reaches back."""

    __slots__ = ("begun",)

    def __init__(self, size: int, interval: float) -> None:
        super().__init__(size, interval)
        self.begun = False

    def push(self, value: float | None, step: int) -> float:
        """Take it."""
        if step != 1:
            self.skip(step)
        position = self.position + 1
        if position == self.size:
            position = 0
        self.position = position
        ring = self.ring
        old = ring[position]
        if self.filled < self.size:
            self.filled += 1
        if value is None or not old < IDLE:
            self.count += (value is not None) - (old < IDLE)
            self.idles += (value is None) - (old == IDLE)
        ring[position] = IDLE if value is None else value
        self.begun = True
        return float(self.count)

    def value(self) -> float:
        """Return the count."""
        return float(self.count) if self.begun or self.filled == self.size else NONE


class Quantile(Window):
    """Hold the 95th percentile, as Prometheus' quantile_over_time: between two values where no sample is it.

    While all who watch sleep, it only counts the values beyond their band: so many tell whether the percentile is.
    """

    __slots__ = ("above", "below", "high", "least", "low", "most", "ordered", "within")

    def __init__(self, size: int, interval: float) -> None:
        super().__init__(size, interval)
        self.ordered: array[float] | None = array("d")  # its values, once somebody asks
        self.low, self.high = IDLE, -IDLE
        self.below = self.above = 0  # values beyond the band
        self.least, self.most = IDLE, -IDLE  # while the percentile is within, the values between which none leaves it
        self.within = 0.0  # a value of the band

    @property
    def bytes(self) -> int:
        """Return the memory that it holds while somebody looks at each value."""
        return self.overhead + self.size * 16

    def rest(self, low: float, high: float) -> None:
        """Count beyond another band."""
        self.low, self.high, self.within = low, high, _inside(low, high)
        self.least, self.most = IDLE, -IDLE
        if low <= high:
            values = [value for value in self.ring if value < IDLE]
            self.below, self.above = sum(value < low for value in values), sum(value > high for value in values)
            self.ordered = None

    def push(self, value: float | None, step: int) -> float:
        """Take it."""
        position = self.position + 1
        if position == self.size:
            position = 0
        ring = self.ring
        if (
            value is not None
            and step == 1
            and self.least <= value <= self.most
            and (self.least <= ring[position] <= self.most)
        ):
            ring[position] = value
            self.position = position
            return self.within
        return self._push_anything(value, step)

    def _push_anything(self, value: float | None, step: int) -> float:
        if step != 1:
            self.skip(step)
        self.position = position = (self.position + 1) % self.size
        old = self.ring[position]
        if self.filled < self.size:
            self.filled += 1
        if old < IDLE:
            self.count -= 1
            self.leave(old)
        elif old == IDLE:
            self.idles -= 1
        if value is None:
            self.ring[position] = IDLE
            self.idles += 1
            return self._look()
        self.ring[position] = value
        self.count += 1
        if self.ordered is not None:
            insort(self.ordered, value)
        elif value > self.high:
            self.above += 1
        elif value < self.low:
            self.below += 1
        return self._look()

    def push_gap(self) -> float:
        """Move on without a sample."""
        super().push_gap()
        return self._look()

    def leave(self, old: float) -> None:
        """Take it out."""
        if self.ordered is not None:
            del self.ordered[bisect_left(self.ordered, old)]
        elif old > self.high:
            self.above -= 1
        elif old < self.low:
            self.below -= 1

    def _look(self) -> float:
        """Return the percentile where it may be beyond the band, else any value within."""
        self.least, self.most = IDLE, -IDLE
        if self.ordered is None and self.count:
            rank = int(0.95 * (self.count - 1))
            if self.above < self.count - 1 - rank and self.below <= rank:
                self.least, self.most = max(self.low, -LARGEST), min(self.high, LARGEST)
                return self.within
        return self.value()

    def value(self) -> float:
        """Return it."""
        if not self.count:
            return NONE
        if self.ordered is None:
            ordered = sorted(value for value in self.ring if value < IDLE)
            if not self.low <= self.high:
                self.ordered = array("d", ordered)
        else:
            ordered = self.ordered  # type: ignore[assignment]
        rank = 0.95 * (len(ordered) - 1)
        below = int(rank)
        lower = ordered[below]
        if rank == below:
            return lower
        return lower + (ordered[below + 1] - lower) * (rank - below)  # exact where both are equal


class Rate(Window):
    """Divide the growth from the oldest to the newest value by the seconds between them; nothing is extrapolated."""

    __slots__ = ()

    def push(self, value: float | None, step: int) -> float:
        """Take it."""
        if step != 1:
            self.skip(step)
        position = self.position + 1
        if position == self.size:
            position = 0
        self.position = position
        ring = self.ring
        old = ring[position]
        if self.filled < self.size:
            self.filled += 1
        if value is None or not old < IDLE:
            self.count += (value is not None) - (old < IDLE)
            self.idles += (value is None) - (old == IDLE)
        ring[position] = IDLE if value is None else value
        return self.value()

    def value(self) -> float:
        """Return the growth per second."""
        if self.count < 2:
            return NONE
        ring, size, newest = self.ring, self.size, self.position
        while not ring[newest] < IDLE:
            newest -= 1
        oldest = self.position - self.filled + 1
        while not ring[oldest % size] < IDLE:
            oldest += 1
        return (ring[newest] - ring[oldest % size]) / ((newest - oldest) * self.interval)


def _inside(low: float, high: float) -> float:
    """Return a value of a band, of which one end may be infinite."""
    return high if high < IDLE else low


def new_window(function: Function, size: int, interval: float) -> Window:
    """Open a window of so many slots."""
    match function:
        case Function.LAST:
            return Last(1, interval)
        case Function.AVG:
            return Average(size, interval)
        case Function.MAX:
            return Extreme(size, interval)
        case Function.MIN:
            return Extreme(size, interval, -1.0)
        case Function.P95:
            return Quantile(size, interval)
        case Function.SUM:
            return Total(size, interval)
        case Function.COUNT:
            return Count(size, interval)
        case Function.RATE:
            return Rate(size, interval)


def slots_of(window: float, interval: float) -> int:
    """Return how many instants of a grid a window (seconds) holds: it is open on the left."""
    return max(1, math.ceil(window / interval - 1e-6))
