"""Whether the kernel has killed a process for lack of memory a moment ago: what may have ended a QEMU."""

from collections import deque
from contextlib import suppress
from pathlib import Path

_LOOKS = 3
LOOK_EVERY_S = 5.0


class OomKills:
    """Count the host's OOM kills, those of control groups among them. A kernel that counts none reports none."""

    def __init__(self, proc: Path) -> None:
        """`proc` is the host's /proc."""
        self._vmstat = proc / "vmstat"
        self._counts: deque[int] = deque(maxlen=_LOOKS)

    def look(self) -> None:
        """Remember how many there were; to be called every `LOOK_EVERY_S`."""
        if (count := self._count()) is not None:
            self._counts.append(count)

    def recent(self) -> bool:
        """Return whether there was one in the last 10 to 15 s."""
        count = self._count()
        return count is not None and bool(self._counts) and count > self._counts[0]

    def _count(self) -> int | None:
        with suppress(OSError, ValueError, IndexError):
            return int((b"\n" + self._vmstat.read_bytes()).split(b"\noom_kill ", 1)[1].split(None, 1)[0])
        return None
