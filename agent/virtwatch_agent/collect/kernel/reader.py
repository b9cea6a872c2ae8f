"""The cheap tier: what the kernel says of a QEMU, through kept descriptors.

It asks neither libvirt nor QEMU and cannot hang: none of these files waits for a lock that the process can hold.
"""

import os
import weakref
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from virtwatch_agent.inventory.cpu_limits import throttled_seconds
from virtwatch_agent.inventory.processes import QemuProcess, refuse_exhaustion, vcpu_threads
from virtwatch_agent.observations import Series

_PAGE = os.sysconf("SC_PAGE_SIZE")
_NANOSECOND = 1e-9
_RSS, _VCPUS, _THROTTLED = ("memory.rss", ""), ("cpu.count", ""), ("cpu.throttled", "")
# Fields of a line of net/dev, as the host counts them: received first, then transmitted.
_RECEIVED = {"bytes": 0, "packets": 1, "errors": 2, "drops": 3}
_TRANSMITTED = {"bytes": 8, "packets": 9, "errors": 10, "drops": 11}


@dataclass(frozen=True, slots=True)
class Nic:
    """Name the host's end of a guest's NIC; `host_view` where that end counts in the guest's direction."""

    interface: str
    host_view: bool


class ProcessGoneError(Exception):
    """Say that the QEMU process has ended."""


class ThreadGoneError(Exception):
    """Say that a vCPU was unplugged: its thread has ended, the process has not."""


class NetworkCounters:
    """Share one read of net/dev among the domains of one network namespace that are sampled at one instant."""

    def __init__(self) -> None:
        self._read_at = -1.0
        self._text = b""
        self._lines: Mapping[bytes, bytes] = {}

    def lines(self, descriptor: int, clock: float) -> Mapping[bytes, bytes]:
        """Return the counters of each interface by its name; read again only when `clock` is a new instant."""
        if clock != self._read_at:
            text = _whole(descriptor)
            if text != self._text:
                # One pass for all: a host has an interface for each NIC of each VM.
                parts = (line.partition(b":") for line in text.split(b"\n"))
                self._lines = {name.strip(): counters for name, _, counters in parts}
                self._text = text
            self._read_at = clock
        return self._lines


class KernelReader:
    """Read one domain's figures.

    Close it when the domain goes: its net/dev keeps the network namespace alive. One that nobody holds closes itself.
    """

    def __init__(self, process: QemuProcess, nics: Iterable[Nic], counters: NetworkCounters) -> None:
        """Open what is read later; a file that is not there costs its own figures.

        Raises:
            ProcessGoneError: the process has ended meanwhile.
            DescriptorsExhaustedError: this process may open no more files.
        """
        self.process = process
        self._counters = counters
        with ExitStack() as opened:
            try:
                self._statm = _open(opened, process.folder / "statm")
            except FileNotFoundError as error:
                raise ProcessGoneError from error
            # The leader's alone: that of the process adds up all its threads.
            self._stat = _open_if_there(opened, process.folder / "task" / process.folder.name / "stat")
            self._vcpus = [
                _Vcpu(str(number), descriptor)
                for number, task in process.vcpus.items()
                if (descriptor := _open_if_there(opened, task / "schedstat")) is not None
            ]
            self._limits = [
                _Limit(descriptor)
                for path in process.cpu_limits or ()
                if (descriptor := _open_if_there(opened, path)) is not None
            ]
            interfaces = [_Interface(nic) for nic in nics]
            self._net = _open_if_there(opened, process.folder / "net" / "dev") if interfaces else None
            self._nics = interfaces if self._net is not None else []
            self._pages, self._resident_bytes = b"", 0.0
            self._values: Mapping[Series, float] = {}
            self._as_before = False  # since these values were gathered
            self._tasks = f"{process.folder}/task"
            self._seen: tuple[list[str], list[str]] = [], []
            self._close = weakref.finalize(self, opened.pop_all().close)

    def read(self, clock: float) -> Mapping[Series, float]:
        """Return seconds, bytes and counts by series; `clock` names the instant for those who share a file.

        While the kernel writes all as before it is the same object, which nobody may change.
        """
        self._resident()
        for vcpu in self._vcpus:
            if not vcpu.read():
                self._as_before = False
        for limit in self._limits:
            if not limit.read():
                self._as_before = False
        if self._net is not None:
            lines = self._counters.lines(self._net, clock)
            for nic in self._nics:
                if not nic.read(lines):
                    self._as_before = False
        if not self._as_before:
            self._values = self._gathered()
            self._as_before = True
        return self._values

    def _gathered(self) -> dict[Series, float]:
        values: dict[Series, float] = {_RSS: self._resident_bytes}
        if self._vcpus:
            values[_VCPUS] = len(self._vcpus)
        if self.process.cpu_limits is not None:
            values[_THROTTLED] = sum((limit.seconds for limit in self._limits), 0.0)
        for vcpu in self._vcpus:
            values[vcpu.time], values[vcpu.delay] = vcpu.seconds
        for nic in self._nics:
            values.update(nic.values)
        return values

    def threads(self) -> list[bytes]:
        """Return the schedstat of each vCPU's thread, as the kernel writes it.

        Raises:
            ThreadGoneError: a vCPU was unplugged, or the process has ended.
        """
        try:
            return [os.pread(vcpu.descriptor, 128, 0) for vcpu in self._vcpus]
        except ProcessLookupError as error:
            raise ThreadGoneError from error

    def counted(self, threads: Iterable[bytes]) -> dict[Series, float]:
        """Return what `threads` returned as the readings that `read` makes of it."""
        values: dict[Series, float] = {}
        for vcpu, line in zip(self._vcpus, threads, strict=True):
            values[vcpu.time], values[vcpu.delay] = _seconds(line)
        return values

    def outdated(self) -> bool:
        """Return whether vCPUs were plugged or unplugged; a process that is gone is not outdated."""
        try:
            names = os.listdir(self._tasks)  # noqa: PTH208 - names alone are wanted
            # A thread gets its name a moment after it is made, so what is new is looked at twice.
            if names == self._seen[0] == self._seen[1]:
                return False
            self._seen = names, self._seen[0]
            return vcpu_threads(self.process.folder).keys() != self.process.vcpus.keys()
        except OSError:
            return False

    def alive(self) -> bool:
        """Return whether the process is still there."""
        try:
            self._resident()
        except ProcessGoneError:
            return False
        return True

    def stopped(self) -> bool:
        """Return whether the process is stopped, by a signal or a debugger; not where it is gone."""
        try:
            text = b"" if self._stat is None else os.pread(self._stat, 128, 0)
        except ProcessLookupError:
            return False
        return text[text.rfind(b")") + 2 :][:1] in (b"T", b"t")

    def close(self) -> None:
        """Close all descriptors."""
        self._close()

    def _resident(self) -> None:
        try:
            text = os.pread(self._statm, 128, 0)
        except ProcessLookupError as error:
            raise ProcessGoneError from error
        if text != self._pages:
            pages = int(text.split(None, 2)[1])
            if pages == 0:  # a zombie: it has no memory any more
                raise ProcessGoneError
            self._pages, self._resident_bytes = text, float(pages * _PAGE)
            self._as_before = False


class _Vcpu:
    """Read one vCPU's thread; what the kernel writes as before is not parsed again."""

    __slots__ = ("_line", "delay", "descriptor", "seconds", "time")

    def __init__(self, number: str, descriptor: int) -> None:
        self.descriptor = descriptor
        self.time, self.delay = ("cpu.time", number), ("cpu.delay", number)
        self.seconds = (0.0, 0.0)
        self._line = b""

    def read(self) -> bool:
        """Take its seconds; return whether they are as before. ThreadGoneError when it was unplugged."""
        try:
            line = os.pread(self.descriptor, 128, 0)
        except ProcessLookupError as error:
            raise ThreadGoneError from error
        if line == self._line:
            return True
        self.seconds = _seconds(line)
        self._line = line
        return False


class _Limit:
    """Read for how long one group's limit has kept the VM from running since this was made, in seconds."""

    __slots__ = ("_before", "_descriptor", "_text", "seconds")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = os.pread(descriptor, _PAGE, 0)
        self._before = throttled_seconds(self._text)
        self.seconds = 0.0

    def read(self) -> bool:
        """Take its seconds; return whether they are as before."""
        try:
            text = os.pread(self._descriptor, _PAGE, 0)
        except OSError as error:  # the group is removed before the process that was in it is gone
            raise ProcessGoneError from error
        if text == self._text:
            return True
        before, self.seconds = self.seconds, throttled_seconds(text) - self._before
        self._text = text
        return self.seconds == before


class _Interface:
    """Find one interface's line and turn it into the guest's point of view."""

    __slots__ = ("_fields", "_line", "_name", "values")

    def __init__(self, nic: Nic) -> None:
        self._name = nic.interface.encode()
        receive, transmit = (_RECEIVED, _TRANSMITTED) if nic.host_view else (_TRANSMITTED, _RECEIVED)
        self._fields = [
            ((f"network.{direction}.{name}", nic.interface), field)
            for direction, fields in (("receive", receive), ("transmit", transmit))
            for name, field in fields.items()
        ]
        self._line: bytes | None = None
        self.values: Mapping[Series, float] = {}

    def read(self, lines: Mapping[bytes, bytes]) -> bool:
        """Take its counters; return whether they are as before.

        There are none where the interface is not in this namespace (vhost-user, passthrough).
        """
        line = lines.get(self._name)
        if line == self._line:
            return True
        figures = () if line is None else line.split()
        self.values = {series: float(figures[field]) for series, field in self._fields} if figures else {}
        self._line = line
        return False


def _seconds(line: bytes) -> tuple[float, float]:
    """Return for how long a thread ran, and waited for a CPU."""
    running, waiting, _ = line.split()
    return int(running) * _NANOSECOND, int(waiting) * _NANOSECOND


def _open(opened: ExitStack, path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        refuse_exhaustion(error)
        raise
    opened.callback(os.close, descriptor)
    return descriptor


def _open_if_there(opened: ExitStack, path: Path) -> int | None:
    try:
        return _open(opened, path)
    except OSError:
        return None


def _whole(descriptor: int) -> bytes:
    chunks, size = [], 0
    while chunk := os.pread(descriptor, _PAGE, size):
        chunks.append(chunk)
        size += len(chunk)
        # The kernel gives whole lines up to a page: half a page is the end, and need not be asked for.
        if len(chunk) < _PAGE // 2:
            break
    return b"".join(chunks)
