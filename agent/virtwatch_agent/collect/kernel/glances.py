"""Glances at VMs between the looks of mode Hybrid: two figures of each vCPU, every 1.5 s, 3 µs of CPU a vCPU.

A glance is no sample: nothing is derived, judged or exported of it. It says when a look is worth it, and gives that
look the moment before, so that a rate which jumped counts over that moment, not over all the time since the last look.
"""

from collections.abc import Iterator, Mapping, Sequence

from virtwatch_agent.collect.allowance import Allowance
from virtwatch_agent.collect.kernel.jumps import SIGNALS, Jumps, Threads
from virtwatch_agent.collect.kernel.reader import KernelReader
from virtwatch_agent.observations import Glimpse

EVERY_S = 1.5
_REST_S = 10.0  # where no VM has threads on this host
_LONGEST_S = 3.0  # between two glances that are compared: what lies further apart says nothing of a jump
_SHORTEST_S = 0.4
_CPUS = 0.01  # for the looks that glances at all VMs lead to
_LOOK_S = 1e-4  # of CPU time that one of them takes


class _Glanced:
    __slots__ = ("before", "bounds", "clock", "jumps", "reader", "threads")

    def __init__(self, bounds: Mapping[str, Sequence[float]]) -> None:
        self.bounds = bounds
        self.jumps = Jumps(bounds)
        self.reader: KernelReader | None = None
        self.threads: Threads = ()
        self.clock = 0.0
        self.before: Glimpse | None = None  # of the look that this glance has led to


class Glances:
    """Know which VMs are glanced at, by UUID; times are monotonic seconds."""

    def __init__(self) -> None:
        self._glanced: dict[str, _Glanced] = {}
        self._due = float("-inf")
        self._allowance = Allowance(_CPUS)

    def plan(self, uuid: str, bounds: Mapping[str, Sequence[float]]) -> None:
        """Glance at a VM because of these signals, held against these bounds; because of none: not at all."""
        bounds = {signal: bounds[signal] for signal in bounds if signal in SIGNALS}
        known = self._glanced.get(uuid)
        if not bounds:
            self._glanced.pop(uuid, None)
        elif known is None or known.bounds != bounds:
            self._glanced[uuid] = _Glanced(bounds)

    def forget(self, uuid: str) -> None:
        """Glance at a VM that is gone no more."""
        self._glanced.pop(uuid, None)

    def next_due(self) -> float | None:
        """Return when VMs are glanced at next, all of them at one instant."""
        return self._due if self._glanced else None

    def due(self, now: float) -> Iterator[str]:
        """Yield the VMs that are to be glanced at now."""
        if self._glanced and now >= self._due:
            self._due = max(self._due + EVERY_S, now + _SHORTEST_S)
            yield from list(self._glanced)

    def rest(self, *, now: float) -> None:
        """Glance at nobody for a while: there was no VM with threads on this host."""
        self._due = now + _REST_S

    def glance(self, uuid: str, reader: KernelReader, *, now: float) -> bool:
        """Glance at a VM; return whether it is worth a look, for which there is CPU.

        Raises:
            ProcessGoneError, ThreadGoneError: as `KernelReader.read`.
        """
        glanced = self._glanced[uuid]
        threads, before, seconds = reader.threads(), glanced.threads, now - glanced.clock
        glimpsed_at = glanced.clock
        glanced.threads, glanced.clock, glanced.before = threads, now, None
        if glanced.reader is not reader or not _SHORTEST_S <= seconds <= _LONGEST_S or len(before) != len(threads):
            glanced.reader = reader
            glanced.jumps.begin(threads)
            return False
        if not (threads and glanced.jumps.next(threads, seconds=seconds)):
            return False
        if not self._allowance.afford(_LOOK_S, now=now):
            return False
        glanced.before = Glimpse(glimpsed_at, reader.counted(before))
        return True

    def before(self, uuid: str, *, at: float) -> Glimpse | None:
        """Return the moment before a look at this instant, where a glance has led to it."""
        glanced = self._glanced.get(uuid)
        return glanced.before if glanced is not None and glanced.clock == at else None
