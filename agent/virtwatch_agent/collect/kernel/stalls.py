"""For how long a thread of QEMU has waited in the kernel without being woken: while storage hangs, no counter moves."""

from collections.abc import Iterable
from pathlib import Path

_RUNS = 2  # field of schedstat: how often the thread was given a CPU


class Stalls:
    """Watch the threads that cannot be interrupted: one that has not run since the last look has waited all along."""

    def __init__(self, process: Path) -> None:
        """`process` is the QEMU's folder in /proc."""
        self._process = process
        self._since: dict[tuple[str, int], float] = {}  # of each thread and its number of runs: monotonic seconds

    def longest(self, uninterruptible: Iterable[str], *, clock: float) -> float:
        """Return the seconds that the one has waited, as far as it was seen, that has waited longest; 0 without any."""
        waiting = {(thread, runs) for thread in uninterruptible if (runs := self._runs(thread)) is not None}
        self._since = {key: self._since.get(key, clock) for key in waiting}
        return clock - min(self._since.values(), default=clock)

    def _runs(self, thread: str) -> int | None:
        try:
            return int((self._process / "task" / thread / "schedstat").read_bytes().split()[_RUNS])
        except (OSError, ValueError, IndexError):
            return None  # it has just ended
