"""How long to wait before something that failed is tried again."""

import random


class Backoff:
    """Double the delay with each failure, up to `cap` seconds, and spread it over the upper half by chance."""

    def __init__(self, *, first: float, cap: float) -> None:
        self._first = first
        self._cap = cap
        self._next = first

    def delay(self) -> float:
        """Return the seconds to wait after one more failure."""
        bound, self._next = self._next, min(self._next * 2, self._cap)
        return bound * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin again after a success."""
        self._next = self._first
