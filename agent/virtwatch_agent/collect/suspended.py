"""For how long this machine has slept: the monotonic clock stands still then, and another machine's counters do not."""

import time

_SLEPT_S = 0.5  # a smaller change is the time between reading two clocks


class Suspended:
    """Return how long it was, and the same figure until it slept again."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def seconds(self) -> float:
        """Return the seconds since the machine booted in which it was suspended."""
        seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
        if abs(seconds - self._seconds) >= _SLEPT_S:
            self._seconds = seconds
        return self._seconds
