"""Whether the threads of a QEMU have run: while those that serve its disks rest, no figure of a disk can change."""

import os
import weakref
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

# A thread of QEMU's pool lives for 10 s after its last request; after more, one may have come and gone unseen.
_POOL_THREAD_LIVES_S = 9.0
_MONITOR = "IO mon_iothread"  # reads what is asked and answers; it serves no disk
_UNREAD = -1


class _Serves(Enum):
    GUEST = auto()
    DISKS = auto()
    NEITHER = auto()


@dataclass(frozen=True, slots=True)
class _Thread:
    serves: _Serves
    descriptor: int


class ThreadActivity:
    """Count the looks at which threads were found to have run; compare the counts of two looks.

    `vcpus` moves when a vCPU ran; `disks` when some other thread did, but for the main one (which every question to
    the monitor wakes) and those that never serve a disk. Both move whenever nobody can tell.
    """

    def __init__(self, process: Path) -> None:
        """`process` is the QEMU's folder in the host's /proc."""
        self.vcpus = 0
        self.disks = 0
        self.looked_at = float("-inf")  # monotonic seconds
        self._tasks = f"{process}/task"
        self._leader = process.name
        self._threads: dict[str, _Thread] = {}
        self._ran: dict[str, bytes] = {}
        self._links = 0
        self._knows_vcpus = False
        weakref.finalize(self, _close, self._threads)

    def look(self, *, now: float) -> None:
        """Look at all threads; a second look at the same instant is none."""
        if now == self.looked_at:
            return
        if now - self.looked_at > _POOL_THREAD_LIVES_S:
            self.disks += 1
        self.looked_at = now
        try:
            # One link each: one that comes shows there, one that goes cannot be read any more.
            links = os.stat(self._tasks).st_nlink  # noqa: PTH116 - a Path costs more than the call
            if links != self._links:
                self._meet(os.listdir(self._tasks))  # noqa: PTH208 - names alone are wanted
                self._links = links
            self._read()
            if not self._knows_vcpus:
                self.vcpus += 1
        except (OSError, ValueError):  # the process or a thread has ended, or no file may be opened any more
            self.vcpus += 1
            self.disks += 1
            _close(self._threads)
            self._ran.clear()
            self._links = 0

    def _read(self) -> None:
        for name, thread in self._threads.items():
            if thread.serves is _Serves.NEITHER:
                continue
            ran = os.pread(thread.descriptor, 128, 0)
            if ran != self._ran.get(name):
                self._ran[name] = ran
                self._moved(thread.serves)

    def _moved(self, serves: _Serves) -> None:
        if serves is _Serves.GUEST:
            self.vcpus += 1
        elif serves is _Serves.DISKS:
            self.disks += 1

    def _meet(self, names: Iterable[str]) -> None:
        """Take which threads there are now."""
        gone = self._threads.keys() - set(names)
        for name in gone:
            thread = self._threads.pop(name)
            self._ran.pop(name, None)
            _close_one(thread)
            self._moved(thread.serves)
        called = {name: self._comm(name) for name in names if name not in self._threads}
        helper = self._helper(called) if not self._threads else ""
        for name, comm in called.items():
            serves = _serves(comm) if name not in (self._leader, helper) else _Serves.NEITHER
            self._threads[name] = _Thread(serves, self._open(name) if serves is not _Serves.NEITHER else _UNREAD)
        self._knows_vcpus = any(thread.serves is _Serves.GUEST for thread in self._threads.values())

    def _helper(self, called: dict[str, str]) -> str:
        """Find the thread that frees memory: QEMU makes it before it names threads, so that it is called as QEMU is."""
        named = any(_serves(comm) is _Serves.GUEST for comm in called.values())
        unnamed = [name for name, comm in called.items() if comm == called.get(self._leader) and name != self._leader]
        return unnamed[0] if named and len(unnamed) == 1 else ""

    def _open(self, name: str) -> int:
        return os.open(f"{self._tasks}/{name}/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def _comm(self, name: str) -> str:
        return Path(self._tasks, name, "comm").read_text().rstrip("\n")


def _serves(comm: str) -> _Serves:
    if comm.startswith("CPU "):
        return _Serves.GUEST
    return _Serves.NEITHER if comm == _MONITOR else _Serves.DISKS


def _close(threads: dict[str, _Thread]) -> None:
    for thread in threads.values():
        _close_one(thread)
    threads.clear()


def _close_one(thread: _Thread) -> None:
    if thread.descriptor != _UNREAD:
        with suppress(OSError):
            os.close(thread.descriptor)
