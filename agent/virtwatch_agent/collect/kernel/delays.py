"""For how long a QEMU's threads waited for the host's disks: by the kernel's delay accounting, and one by one now."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.kernel.stalls import Stalls
from virtwatch_api.catalogue import absences

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_BLOCK_DELAY = 39  # field 42 of stat, counted after the name in brackets


class IoDelay:
    """Add up what threads waited since this began; those that end keep what they had added."""

    def __init__(self, process: Path, proc: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`process` is the QEMU's folder in `proc`, the host's /proc; `clock` is monotonic seconds."""
        self._process = process
        self._clock = clock
        self._stalls = Stalls(process)
        self._switch = proc / "sys" / "kernel" / "task_delayacct"
        self._total = 0
        self._seen = {thread: ticks for thread, _, ticks in self._threads()}

    def read(self) -> Found:
        """Return seconds; why there are none of those that the kernel counts where it does not."""
        threads = list(self._threads())
        stuck = (thread for thread, state, _ in threads if state == b"D")
        stalled = {("io.stalled", ""): self._stalls.longest(stuck, clock=self._clock())}
        if not self._counts():
            return Found(stalled, {"cpu.iowait": absences.NO_DELAYS})
        now = {thread: ticks for thread, _, ticks in threads}
        self._total += sum(max(0, ticks - self._seen.get(thread, 0)) for thread, ticks in now.items())
        self._seen = now
        return Found({("cpu.iowait", ""): self._total * _TICK_S, **stalled})

    def _counts(self) -> bool:
        try:
            return self._switch.read_text().strip() != "0"
        except OSError:
            return True  # before 5.14 it was on unless the boot line said nodelayacct

    def _threads(self) -> Iterator[tuple[str, bytes, int]]:
        """Yield each thread, its state, and the ticks that it has waited."""
        try:
            names = os.listdir(self._process / "task")  # noqa: PTH208 - names alone are wanted
        except OSError:
            return
        for name in names:
            try:
                text = (self._process / "task" / name / "stat").read_bytes()
                fields = text[text.rindex(b")") + 2 :].split()
                yield name, fields[0], int(fields[_BLOCK_DELAY])
            except (OSError, ValueError, IndexError):
                continue  # it has just ended
