"""One line in the log for all that a process loses for one cause."""

import threading
import time
from collections.abc import Callable, Hashable

# An API server that starts serves one part and sends another away (429, 503) while it fills its caches.
TAIL_S = 10.0


class Outages:
    """Know which causes of failures have been logged, and by which part. Thread-safe.

    What another part fails at for the same cause within `tail` seconds after the one that logged it is back belongs to
    the same outage; what lasts longer is logged then. `clock` gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, tail: float = TAIL_S) -> None:
        self._clock = clock
        self._tail = tail
        self._lock = threading.Lock()
        self._logged_by: dict[Hashable, object] = {}
        self._ended: dict[Hashable, tuple[object, float]] = {}

    def logged(self, cause: Hashable, *, by: object) -> bool:
        """Return whether another part has logged this cause already; if not, `by` has."""
        with self._lock:
            first, ended = self._ended.get(cause, (by, 0.0))
            if cause not in self._logged_by and first is not by and self._clock() - ended < self._tail:
                return True
            return self._logged_by.setdefault(cause, by) is not by

    def healed(self, part: object) -> None:
        """Let the others log for themselves from now on, after the tail."""
        with self._lock:
            for cause in [cause for cause, by in self._logged_by.items() if by is part]:
                del self._logged_by[cause]
                self._ended[cause] = (part, self._clock())
