"""Tells by a VM's vCPU threads alone, from one glance to the next, when the VM is worth a look: pure."""

from bisect import bisect
from collections.abc import Mapping, Sequence

Threads = Sequence[bytes]  # of each vCPU its schedstat: for how long it ran, and waited for a CPU, in nanoseconds

_NANOSECONDS = 1e9
_LEARNED = 8  # glances after which it is known how much a signal changes of itself
_WEIGHT = 0.05  # of a new change in what is usual
_UNUSUAL = 4.0  # times the usual change
_MOVES = 0.15  # of a CPU: less is no jump
_TOWARDS = 0.5  # of the way to the next bound: less is none either, where there is one

# What can be reported of the threads: of which figure, and whether of the worst thread or the mean of all.
_RAN, _WAITED = 0, 1
SIGNALS: Mapping[str, tuple[int, bool]] = {
    "vm.cpu.utilization": (_RAN, False),
    "vm.cpu.worst.utilization": (_RAN, True),
    "vm.cpu.delay.ratio": (_WAITED, False),
    "vm.cpu.worst.delay.ratio": (_WAITED, True),
}


class _Followed:
    """Follow one signal: the last value, and how much it changes of itself."""

    __slots__ = ("bounds", "change", "figure", "last", "seen", "side", "worst")

    def __init__(self, signal: str, bounds: Sequence[float]) -> None:
        self.figure, self.worst = SIGNALS[signal]
        self.bounds = sorted(bounds)
        self.last = self.change = 0.0
        self.seen = self.side = 0

    def takes(self, value: float) -> bool:
        """Return whether a value lies on the other side of a bound than the last one, or far from it."""
        side, last, seen = bisect(self.bounds, value), self.last, self.seen
        change = value - last if value > last else last - value
        takes = False
        if seen:
            usual = self.change
            takes = side != self.side or (
                change > _MOVES and seen >= _LEARNED and change > _UNUSUAL * usual and self._goes(value)
            )
            self.change = usual + _WEIGHT * (change - usual)
        self.last, self.side, self.seen = value, side, seen + 1
        return takes

    def rested(self) -> bool:
        """Take a value of 0 as `takes` does; that it was 0 before is the usual case."""
        if self.last or not self.seen:
            return self.takes(0.0)
        self.change -= _WEIGHT * self.change
        self.seen += 1
        return False

    def _goes(self, value: float) -> bool:
        """Return whether a value is most of the way to the next bound, seen from the last one."""
        up = value > self.last
        ahead = [bound for bound in self.bounds if (bound > self.last) == up]
        if not ahead:
            return not self.bounds
        return abs(value - self.last) > _TOWARDS * abs((ahead[0] if up else ahead[-1]) - self.last)


class Jumps:
    """Follow the signals of one VM; `bounds` are what rules hold each of them against, none of them known here."""

    __slots__ = ("_followed", "_last", "_threads")

    def __init__(self, bounds: Mapping[str, Sequence[float]]) -> None:
        followed = [_Followed(signal, bounds[signal]) for signal in bounds if signal in SIGNALS]
        figures = sorted({item.figure for item in followed})
        self._followed = [(figure, [item for item in followed if item.figure == figure]) for figure in figures]
        self._last: list[list[int]] = [[], []]
        self._threads: Threads = ()

    def begin(self, threads: Threads) -> None:
        """Take what the first glance shows, or one after a pause: there is nothing to compare it with."""
        self._threads = threads
        for figure, _ in self._followed:
            self._last[figure] = [int(line.split(None, figure + 1)[figure]) for line in threads]

    def next(self, threads: Threads, *, seconds: float) -> bool:
        """Return whether what the threads did since the last glance is worth a look."""
        if threads == self._threads:
            rested = [item.rested() for _, followed in self._followed for item in followed]  # each is learned from
            return any(rested)
        self._threads = threads
        unit, restless = seconds * _NANOSECONDS, False
        for figure, followed in self._followed:
            before = self._last[figure]
            now = self._last[figure] = [int(line.split(None, figure + 1)[figure]) for line in threads]
            if len(now) == 1:  # as most VMs have
                mean = worst = (now[0] - before[0]) / unit
            else:
                grown = [new - old for old, new in zip(before, now, strict=True)]
                mean, worst = sum(grown) / len(grown) / unit, max(grown) / unit
            for item in followed:
                restless |= item.takes(worst if item.worst else mean)
        return restless
