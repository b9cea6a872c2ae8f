"""How often a status is written."""

import random

from virtwatch_process.backoff import Backoff

INTERVAL_S = 1.0  # between two writes, on average at least
SAVED = 3  # writes that a quiet time saves up: what soon follows a first change does not wait for the interval
SHORTEST_S = 0.25  # between two writes at least: what comes together is one write
REFRESH_S = 300.0  # ± 20 %, so that a fleet's refreshes spread: what is unchanged is still written so often
MAX_DELAY_S = 15.0
MAX_RETRY_AFTER_S = 300.0


class Pace:
    """Decide when a status is written: at once after a quiet time, a few times soon after, then once per interval.

    All times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._backoff = Backoff(first=INTERVAL_S, cap=MAX_DELAY_S)
        self._saved = float(SAVED)
        self._slow = INTERVAL_S  # between two writes that only say how things stand
        self._stood_at = float("-inf")  # the last of those
        self._wrote_at = float("-inf")
        self._not_before = float("-inf")
        self._refresh_at = float("-inf")

    def wait(self, now: float, *, changed: bool, urgent: bool = True) -> float:
        """Return the seconds until the next write is due; what is not `urgent` waits longer the more it changes."""
        if changed and not urgent:
            due = max(self._not_before, self._wrote_at + self._slow)
        else:
            due = self._not_before if changed else max(self._not_before, self._refresh_at)
        return max(0.0, due - now)

    def wrote(self, now: float, *, urgent: bool = False) -> None:
        """Take note of a write; one that was urgent makes no other wait longer."""
        self._backoff.reset()
        if not urgent:
            calm = now - self._stood_at > 2 * self._slow
            self._slow = INTERVAL_S if calm else min(self._slow * 2, MAX_DELAY_S)
            self._stood_at = now
        self._saved = min(self._saved + (now - self._wrote_at) / INTERVAL_S, SAVED) - 1
        self._wrote_at = now
        self._not_before = now + max(SHORTEST_S, (1 - self._saved) * INTERVAL_S)
        self._refresh_at = now + REFRESH_S * random.uniform(0.8, 1.2)

    def failed(self, now: float, *, retry_after: float | None) -> None:
        """Take note of a write that failed; `retry_after` is what the server asked for, in seconds."""
        asked = min(retry_after or 0.0, MAX_RETRY_AFTER_S) * random.uniform(1.0, 1.2)
        self._not_before = now + max(self._backoff.delay(), asked)

    def hurry(self, now: float) -> None:
        """Make a write due now."""
        self._not_before = self._refresh_at = now
