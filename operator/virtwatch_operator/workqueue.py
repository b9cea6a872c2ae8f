# Keys that need work: each waits at most once and is worked on by one thread at a time, so that work on a key is in
# order, and one that fails or is slow holds up no other.
import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_RETRY_S = 0.2
MAX_RETRY_S = 10.0


def retry_delay(failures: int) -> float:
    """Return the seconds to wait after the n-th failure in a row: doubled each time, spread over the upper half."""
    return min(FIRST_RETRY_S * 2.0 ** min(failures - 1, 16), MAX_RETRY_S) * random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Figures:
    """Count what a queue did since the start, and the keys that wait now."""

    worked: int = 0
    failed: int = 0
    waiting: int = 0


@dataclass(slots=True)
class _Entry:
    dirty: bool = True  # False: it is worked on, or rests
    failures: int = 0


class WorkQueue(Generic[K]):
    """Hold keys that need work.

    The first mark is worked on at once. After work on a key it rests for `spacing` seconds, so that a burst of marks
    costs one more turn, not one each. A mark shortens neither a rest nor a back-off. Keys whose last work failed are
    suspects: only those get them who ask for them.
    """

    def __init__(
        self,
        name: str,
        *,
        spacing: float = 0.0,
        retry: Callable[[int], float] = retry_delay,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._spacing = spacing
        self._retry = retry
        self._clock = clock
        self._entries: dict[K, _Entry] = {}
        self._due: list[tuple[float, int, K]] = []
        self._suspects: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._worked = 0
        self._failed = 0

    @property
    def closed(self) -> bool:
        """Return whether the queue gives out nothing any more."""
        return self._closed

    @property
    def figures(self) -> Figures:
        """Return what the queue did so far."""
        with self._changed:
            waiting = sum(entry.dirty for entry in self._entries.values())
            return Figures(self._worked, self._failed, waiting)

    def add(self, key: K) -> None:
        """Mark a key; one that waits already waits on, one that is worked on is worked on again."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is not None:
                entry.dirty = True
                return
            self._entries[key] = _Entry()
            self._push(key, 0.0)

    def take(self, timeout: float, *, suspects: bool = True) -> K | None:
        """Return a key that is due, waiting up to `timeout` seconds; `done` or `failed` must follow."""
        heaps = (self._suspects, self._due) if suspects else (self._due,)
        with self._changed:
            end = self._clock() + timeout
            while not self._closed:
                now = self._clock()
                for heap in heaps:
                    key = self._next(heap, now)
                    if key is not None:
                        return key
                if now >= end:
                    return None
                self._changed.wait(min([end, *(heap[0][0] for heap in heaps if heap)]) - now)
            return None

    def done(self, key: K) -> None:
        """End work on a key that went well."""
        with self._changed:
            self._worked += 1
            self._entries[key].failures = 0
            self._push(key, self._spacing)

    def failed(self, key: K) -> None:
        """End work on a key that went wrong: it is due again after a back-off."""
        with self._changed:
            self._failed += 1
            entry = self._entries[key]
            entry.dirty = True
            entry.failures += 1
            self._push(key, self._retry(entry.failures))

    def close(self) -> None:
        """Give out no more keys; those who wait for one come back with None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _push(self, key: K, delay: float) -> None:
        heap = self._suspects if self._entries[key].failures else self._due
        heapq.heappush(heap, (self._clock() + delay, next(self._order), key))
        self._changed.notify_all()

    def _next(self, heap: list[tuple[float, int, K]], now: float) -> K | None:
        while heap and heap[0][0] <= now:
            _, _, key = heapq.heappop(heap)
            entry = self._entries[key]
            if entry.dirty:
                entry.dirty = False
                return key
            del self._entries[key]  # it has rested and nothing came
        return None
