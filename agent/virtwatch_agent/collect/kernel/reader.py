"""The cheap tier: what the kernel says of a QEMU, through kept descriptors.

It asks neither libvirt nor QEMU and cannot hang: none of these files waits for a lock that the process can hold.
"""

import os
import weakref
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from virtwatch_agent.inventory.cpu_limits import throttled_seconds
from virtwatch_agent.inventory.processes import QemuProcess, refuse_exhaustion, vcpu_threads
from virtwatch_agent.observations import Series

_PAGE = os.sysconf("SC_PAGE_SIZE")
_NANOSECOND = 1e-9
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

    def text(self, descriptor: int, clock: float) -> bytes:
        """Return the counters of all interfaces; read again only when `clock` is a new instant."""
        if clock != self._read_at:
            self._text = _whole(descriptor)
            self._read_at = clock
        return self._text


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
            self._vcpus = [
                (("cpu.time", str(number)), ("cpu.delay", str(number)), descriptor)
                for number, task in process.vcpus.items()
                if (descriptor := _open_if_there(opened, task / "schedstat")) is not None
            ]
            self._limits = [
                (descriptor, throttled_seconds(os.pread(descriptor, _PAGE, 0)))
                for path in process.cpu_limits or ()
                if (descriptor := _open_if_there(opened, path)) is not None
            ]
            interfaces = [_Interface(nic) for nic in nics]
            self._net = _open_if_there(opened, process.folder / "net" / "dev") if interfaces else None
            self._nics = interfaces if self._net is not None else []
            self._close = weakref.finalize(self, opened.pop_all().close)

    def read(self, clock: float) -> dict[Series, float]:
        """Return seconds, bytes and counts by series; `clock` names the instant for those who share a file."""
        values: dict[Series, float] = {("memory.rss", ""): self._resident()}
        if self._vcpus:
            values["cpu.count", ""] = len(self._vcpus)
        if self.process.cpu_limits is not None:
            values["cpu.throttled", ""] = self._throttled()
        for time, delay, descriptor in self._vcpus:
            values[time], values[delay] = self._schedstat(descriptor)
        if self._net is not None:
            text = self._counters.text(self._net, clock)
            for nic in self._nics:
                nic.read(text, values)
        return values

    def outdated(self) -> bool:
        """Tell whether vCPUs were plugged or unplugged; a process that is gone is not outdated."""
        try:
            return vcpu_threads(self.process.folder).keys() != self.process.vcpus.keys()
        except OSError:
            return False

    def alive(self) -> bool:
        """Tell whether the process is still there."""
        try:
            self._resident()
        except ProcessGoneError:
            return False
        return True

    def close(self) -> None:
        """Close all descriptors."""
        self._close()

    def _resident(self) -> float:
        try:
            pages = int(os.pread(self._statm, 128, 0).split()[1])
        except ProcessLookupError as error:
            raise ProcessGoneError from error
        if pages == 0:  # a zombie: it has no memory any more
            raise ProcessGoneError
        return float(pages * _PAGE)

    def _throttled(self) -> float:
        """Return for how long its own limits have kept the VM from running since this reader was opened, in seconds."""
        total = 0.0
        for descriptor, before in self._limits:
            try:
                total += throttled_seconds(os.pread(descriptor, _PAGE, 0)) - before
            except OSError as error:  # the group is removed before the process that was in it is gone
                raise ProcessGoneError from error
        return total

    @staticmethod
    def _schedstat(descriptor: int) -> tuple[float, float]:
        try:
            running, waiting, _ = os.pread(descriptor, 128, 0).split()
        except ProcessLookupError as error:
            raise ThreadGoneError from error
        return int(running) * _NANOSECOND, int(waiting) * _NANOSECOND


class _Interface:
    """Find one interface's line and turn it into the guest's point of view."""

    def __init__(self, nic: Nic) -> None:
        self._start = f"{nic.interface}:".encode()
        receive, transmit = (_RECEIVED, _TRANSMITTED) if nic.host_view else (_TRANSMITTED, _RECEIVED)
        self._fields = [
            ((f"network.{direction}.{name}", nic.interface), field)
            for direction, fields in (("receive", receive), ("transmit", transmit))
            for name, field in fields.items()
        ]

    def read(self, text: bytes, values: dict[Series, float]) -> None:
        """Add the counters; nothing where the interface is not in this namespace (vhost-user, passthrough)."""
        at = text.find(self._start)
        while at > 0 and text[at - 1] not in b" \n":
            at = text.find(self._start, at + 1)
        if at < 0:
            return
        figures = text[at + len(self._start) : text.find(b"\n", at)].split()
        for series, field in self._fields:
            values[series] = float(figures[field])


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
