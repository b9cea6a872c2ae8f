"""When each source of each target is due: pure.

The domains of one connection are due together, so that one bulk call serves them all; connections are spread over the
interval, so that they do not crowd one instant. What is scattered is due at one random instant of each stretch of time,
so that load which comes and goes at a fixed rate cannot hide between samples; it answers for the end of its stretch.
"""

import heapq
import math
import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TargetRef

_Key = tuple[TargetRef, Source]
# The first sample comes at once; one that would follow within this share of the interval is left out: a rate over a
# moment is noise.
_SHORTEST = 0.5
# Instants in an interval among which connections are spread: each wakes the collector, which costs as much as a sample.
_SLOTS = 16


# Share of a stretch that lies at least between two samples of it.
_APART = 0.2
_SEED = random.random()


@dataclass(slots=True)
class _Entry:
    group: str
    interval: float
    due: float
    within: float | None = None  # the stretch of time in which a random instant is chosen
    turn: int = 0  # in which stretches of an interval that holds more than one
    answers: float | None = None  # the instant that is judged by what is read when it is due
    taken: float | None = None  # what it answered last
    asked: float | None = None  # what is read now answers: `taken`, or an extra look's own instant
    extra: float | None = None  # when it is due once more, besides


@lru_cache(maxsize=4096)
def _spread(group: str) -> float:
    return zlib.crc32(group.encode()) % _SLOTS / _SLOTS


def _draw(name: str) -> float:
    """Return a number from 0 to 1 that nobody can foresee, the same for the same name."""
    return random.Random(f"{_SEED} {name}").random()


class Schedule:
    """Keep due times; times are monotonic seconds."""

    def __init__(self, phase: Callable[[str], float] = _spread, draw: Callable[[str], float] = _draw) -> None:
        """Ask `phase` where in the interval a group is due, from 0 to 1, and `draw` where in a stretch of time."""
        self._phase = phase
        self._draw = draw
        self._within: dict[_Key, float] = {}
        self._entries: dict[_Key, _Entry] = {}
        # What is due together stands together: nearly all targets of a connection are.
        self._keys: dict[float, list[_Key]] = {}
        self._instants: list[float] = []  # a heap of the keys' instants

    def plan(self, target: TargetRef, group: str, intervals: Mapping[Source, float], *, now: float) -> None:
        """Ask each source of a target every so many seconds, the first time at once; others no more."""
        for source in Source:
            key, interval = (target, source), intervals.get(source)
            entry = self._entries.get(key)
            if interval is None:
                self._entries.pop(key, None)
            elif entry is None:
                entry = self._entries[key] = _Entry(group, interval, now, self._within.get(key))
                self._take_turn(entry, target, now)
                self._push(key, now)
            elif (entry.group, entry.interval, entry.within) != (group, interval, self._within.get(key)):
                entry.group, entry.interval, entry.within = group, interval, self._within.get(key)
                if entry.within is not None:
                    self._take_turn(entry, target, now)
                due, answers = self._next(entry, now)
                if due < entry.due or entry.within is not None or entry.answers is not None:
                    entry.due, entry.answers = due, answers
                self._push(key, entry.due)

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        """Ask these sources of a target at a random instant of so many seconds, from the next `plan` on."""
        for source in Source:
            if source in within:
                self._within[target, source] = within[source]
            else:
                self._within.pop((target, source), None)

    def drop(self, target: TargetRef) -> None:
        """Ask nothing of a target any more."""
        for source in Source:
            self._entries.pop((target, source), None)
            self._within.pop((target, source), None)

    def hasten(self, target: TargetRef, source: Source, at: float) -> None:
        """Let a planned source be due earlier, once."""
        entry = self._entries.get((target, source))
        if entry is not None and at < entry.due:
            entry.due = at
            self._push((target, source), at)

    def once_more(self, target: TargetRef, source: Source, at: float) -> None:
        """Let a planned source be due once more, at an instant, if it is not due sooner; the plan stays."""
        entry = self._entries.get((target, source))
        if entry is not None and at < entry.due and (entry.extra is None or at < entry.extra):
            entry.extra = at
            self._push((target, source), at)

    def next_due(self) -> float | None:
        """Return when something is due next."""
        while self._instants:
            first = self._instants[0]
            # A plan that changed leaves its old instants behind: each entry says when it is really due.
            if any(self._is_due(key, first) for key in self._keys[first]):
                return first
            del self._keys[heapq.heappop(self._instants)]
        return None

    def due(self, now: float) -> list[_Key]:
        """Take what is due. An interval that was missed is not made up for."""
        taken: list[_Key] = []
        while (first := self.next_due()) is not None and first <= now:
            heapq.heappop(self._instants)
            together = self._keys.pop(first)
            taken += [key for key in together if self._is_due(key, first) and self._take(key, first, now)]
        return taken

    def _is_due(self, key: _Key, at: float) -> bool:
        entry = self._entries.get(key)
        return entry is not None and (entry.due == at or entry.extra == at)

    def _take(self, key: _Key, at: float, now: float) -> bool:
        """Take what is due at an instant; False where a look that is due by now serves it too."""
        entry = self._entries[key]
        if entry.due != at:
            entry.extra = None
            if entry.due <= now:
                return False
            entry.asked = at
            return True
        entry.taken = entry.due if entry.answers is None else entry.answers
        entry.due, entry.answers = self._next(entry, now)
        entry.asked, entry.extra = entry.taken, None
        self._push(key, entry.due)
        return True

    def was_due(self, target: TargetRef, source: Source) -> float | None:
        """Return when a source of a target was due last."""
        entry = self._entries.get((target, source))
        return None if entry is None else entry.asked

    def _take_turn(self, entry: _Entry, target: TargetRef, now: float) -> None:
        """Choose the stretches of a target, and let what is read now answer for the end of the last one."""
        if entry.within is None:
            return
        entry.turn = zlib.crc32(str(target).encode()) % _turns(entry)
        last = _last_turn(entry, int(now // entry.within) - 1)
        entry.answers = (last + 1) * entry.within

    def _next(self, entry: _Entry, now: float) -> tuple[float, float | None]:
        """Return when a source is due next, and the instant that it then answers, None for the same."""
        if entry.within is not None:
            return self._next_random(entry, entry.within, now)
        phase = self._phase(entry.group) * entry.interval
        earliest = now + _SHORTEST * entry.interval
        return phase + math.ceil((earliest - phase) / entry.interval) * entry.interval, None

    def _next_random(self, entry: _Entry, within: float, now: float) -> tuple[float, float]:
        """Return a random instant of the target's next stretch, one for all of its group, and the stretch's end."""
        turns = _turns(entry)
        number = _last_turn(entry, int(now // within))
        while True:
            end = (number + 1) * within
            at = max((number + self._draw(f"{entry.group} {within} {number}")) * within, now + _APART * within)
            if at < end and (entry.taken is None or end > entry.taken + within / 2):
                return at, end
            number += turns

    def _push(self, key: _Key, due: float) -> None:
        together = self._keys.get(due)
        if together is None:
            self._keys[due] = [key]
            heapq.heappush(self._instants, due)
        else:
            together.append(key)


def _turns(entry: _Entry) -> int:
    """Return how many stretches pass until a target has its turn again."""
    return max(1, round(entry.interval / entry.within)) if entry.within is not None else 1


def _last_turn(entry: _Entry, number: int) -> int:
    """Return the newest stretch up to this one that is the target's."""
    return number - (number - entry.turn) % _turns(entry)
