"""When each source of each target is due: pure.

The domains of one connection are due together, so that one bulk call serves them all; connections are spread over the
interval, so that they do not crowd one instant.
"""

import heapq
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TargetRef

_Key = tuple[TargetRef, Source]
# The first sample comes at once; one that would follow within this share of the interval is left out: a rate over a
# moment is noise.
_SHORTEST = 0.5
# Instants in an interval among which connections are spread: each wakes the collector, which costs as much as a sample.
_SLOTS = 16


@dataclass(slots=True)
class _Entry:
    group: str
    interval: float
    due: float
    taken: float | None = None  # when it was due last


def _spread(group: str) -> float:
    return zlib.crc32(group.encode()) % _SLOTS / _SLOTS


class Schedule:
    """Keep due times; times are monotonic seconds."""

    def __init__(self, phase: Callable[[str], float] = _spread) -> None:
        """Ask `phase` where in the interval a group is due, from 0 to 1."""
        self._phase = phase
        self._entries: dict[_Key, _Entry] = {}
        self._heap: list[tuple[float, TargetRef, Source]] = []

    def plan(self, target: TargetRef, group: str, intervals: Mapping[Source, float], *, now: float) -> None:
        """Ask each source of a target every so many seconds, the first time at once; others no more."""
        for source in Source:
            key, interval = (target, source), intervals.get(source)
            entry = self._entries.get(key)
            if interval is None:
                self._entries.pop(key, None)
            elif entry is None:
                self._entries[key] = _Entry(group, interval, now)
                self._push(key, now)
            elif (entry.group, entry.interval) != (group, interval):
                entry.group, entry.interval = group, interval
                entry.due = min(entry.due, self._next(entry, now))
                self._push(key, entry.due)

    def drop(self, target: TargetRef) -> None:
        """Ask nothing of a target any more."""
        for source in Source:
            self._entries.pop((target, source), None)

    def hasten(self, target: TargetRef, source: Source, at: float) -> None:
        """Let a planned source be due earlier, once."""
        entry = self._entries.get((target, source))
        if entry is not None and at < entry.due:
            entry.due = at
            self._push((target, source), at)

    def next_due(self) -> float | None:
        """Return when something is due next."""
        self._prune()
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[_Key]:
        """Take what is due. An interval that was missed is not made up for."""
        taken = []
        while (first := self.next_due()) is not None and first <= now:
            _, target, source = heapq.heappop(self._heap)
            entry = self._entries[target, source]
            entry.taken, entry.due = entry.due, self._next(entry, now)
            self._push((target, source), entry.due)
            taken.append((target, source))
        return taken

    def was_due(self, target: TargetRef, source: Source) -> float | None:
        """Return when a source of a target was due last."""
        entry = self._entries.get((target, source))
        return None if entry is None else entry.taken

    def _next(self, entry: _Entry, now: float) -> float:
        """Return the group's next instant of this interval that is not too soon."""
        phase = self._phase(entry.group) * entry.interval
        earliest = now + _SHORTEST * entry.interval
        return phase + math.ceil((earliest - phase) / entry.interval) * entry.interval

    def _push(self, key: _Key, due: float) -> None:
        heapq.heappush(self._heap, (due, *key))

    def _prune(self) -> None:
        """Drop what is outdated: a heap cannot be searched, so each entry says when it is really due."""
        while self._heap:
            due, target, source = self._heap[0]
            entry = self._entries.get((target, source))
            if entry is not None and entry.due == due:
                return
            heapq.heappop(self._heap)
