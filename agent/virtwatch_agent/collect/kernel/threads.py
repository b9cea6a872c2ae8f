"""Looks at all threads of the host, to name who has the CPU: asked only while a VM waits for it, 10 µs a thread."""

import os
import time
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from virtwatch_agent.seams import HostThreads
from virtwatch_rules.contention import Look, Thread, read_cpu_list

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_MOST_THREADS = 50_000
# Of stat, after the name in brackets: utime and stime in ticks, and the CPU on which it ran last.
_USER, _SYSTEM, _CPU = 11, 12, 36
_LONGEST = 4096  # bytes of a stat: 52 numbers and a name


class ProcThreads(HostThreads):
    """Read them from a host's /proc."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self.cost = 0.0

    def look(self, *, at: float) -> Look:
        """Return all threads as they are now."""
        begun = time.thread_time()
        found = look(self._proc, at=at)
        self.cost = time.thread_time() - begun
        return found

    def allowed_cpus(self, process: int) -> frozenset[int]:
        """Return the CPUs that a process may use."""
        return allowed_cpus(self._proc / str(process))

    def names(self, processes: Set[int]) -> Mapping[int, str]:
        """Return what the kernel calls processes."""
        return names(self._proc, processes)


def look(proc: Path, *, at: float) -> Look:
    """Read every thread; one that ends meanwhile is left out."""
    threads: dict[int, Thread] = {}
    for process in _numbers(proc):
        folder = f"{proc}/{process}/task"
        for number in _numbers(folder):
            if len(threads) >= _MOST_THREADS:
                return Look(at, threads)
            thread = _thread(f"{folder}/{number}/stat", process)
            if thread is not None:
                threads[number] = thread
    return Look(at, threads)


def names(proc: Path, processes: Set[int]) -> dict[int, str]:
    """Return what the kernel calls processes: 15 characters, without arguments."""
    found = {}
    for process in processes:
        try:
            found[process] = (proc / str(process) / "comm").read_text(errors="replace").strip()
        except OSError:
            continue
    return found


def allowed_cpus(folder: Path) -> frozenset[int]:
    """Return the CPUs that the threads of a process may use; empty when it is gone."""
    cpus: frozenset[int] = frozenset()
    for number in _numbers(folder / "task"):
        try:
            status = (folder / "task" / str(number) / "status").read_text(errors="replace")
        except OSError:
            continue
        line = next((line for line in status.splitlines() if line.startswith("Cpus_allowed_list:")), "")
        if line:
            cpus |= read_cpu_list(line.partition(":")[2])
    return cpus


# Of strings and descriptors, not of paths and files: those cost three times as much as the kernel's part, for each of
# thousands of threads.
def _numbers(folder: Path | str) -> Iterator[int]:
    try:
        entries = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return
    yield from (int(entry) for entry in entries if entry.isdigit())


def _thread(path: str, process: int) -> Thread | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(descriptor, _LONGEST)
        finally:
            os.close(descriptor)
        fields = text[text.rindex(b")") + 2 :].split()
        return Thread(process, (int(fields[_USER]) + int(fields[_SYSTEM])) * _TICK_S, int(fields[_CPU]))
    except (OSError, ValueError, IndexError):
        return None
