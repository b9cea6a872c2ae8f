"""For how long a QEMU's threads waited for the host's disks, by the kernel's delay accounting."""

import os
from collections.abc import Iterator
from pathlib import Path

from virtwatch_agent.collect.found import Found
from virtwatch_api.catalogue import absences

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_BLOCK_DELAY = 39  # field 42 of stat, counted after the name in brackets


class IoDelay:
    """Add up what threads waited since this began; those that end keep what they had added."""

    def __init__(self, process: Path, proc: Path) -> None:
        """`process` is the QEMU's folder in `proc`, the host's /proc."""
        self._process = process
        self._switch = proc / "sys" / "kernel" / "task_delayacct"
        self._total = 0
        self._seen = dict(self._threads())

    def read(self) -> Found:
        """Return seconds; why there are none where the kernel does not count them."""
        if not self._counts():
            return Found({}, {"cpu.iowait": absences.NO_DELAYS})
        now = dict(self._threads())
        self._total += sum(max(0, ticks - self._seen.get(thread, 0)) for thread, ticks in now.items())
        self._seen = now
        return Found({("cpu.iowait", ""): self._total * _TICK_S})

    def _counts(self) -> bool:
        try:
            return self._switch.read_text().strip() != "0"
        except OSError:
            return True  # before 5.14 it was on unless the boot line said nodelayacct

    def _threads(self) -> Iterator[tuple[str, int]]:
        try:
            names = os.listdir(self._process / "task")  # noqa: PTH208 - names alone are wanted
        except OSError:
            return
        for name in names:
            try:
                text = (self._process / "task" / name / "stat").read_bytes()
                yield name, int(text[text.rindex(b")") + 2 :].split()[_BLOCK_DELAY])
            except (OSError, ValueError, IndexError):
                continue  # it has just ended
