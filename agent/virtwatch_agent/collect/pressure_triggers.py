"""Tells the core when pressure on the node's CPUs, memory or disks rises, as the kernel notices it (PSI triggers).

A trigger is set by writing to a pressure file, and the host's /proc is mounted for reading alone: so the agent sets it
in its own /proc, whose pressure is the whole node's as well. A process without CAP_SYS_RESOURCE may ask for windows of
multiples of 2 s (Linux 6.5 and newer); where the kernel grants none, the sums are read every 2 s instead.
"""

import logging
import os
import select
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virtwatch_agent.collect.pressure_file import stalled_seconds
from virtwatch_agent.observations import PressureRose
from virtwatch_agent.seams import Clock, Deliver

logger = logging.getLogger(__name__)

RESOURCES = ("cpu", "memory", "io")
WINDOW_S = 2.0
STALLED_S = 0.2  # of a window: some task waited for so long
_QUIET_S = 3 * WINDOW_S  # without a window above that, after which pressure rises again
_JOIN_S = 1.0
_TRIGGER = f"some {STALLED_S * 1e6:.0f} {WINDOW_S * 1e6:.0f}\0".encode()


@dataclass(slots=True)
class _File:
    descriptor: int
    notified: bool  # by the kernel
    total: float = 0.0
    read_at: float = 0.0


class PressureTriggers:
    """Watch the pressure files of a /proc, on a thread of its own."""

    def __init__(self, clock: Clock, *, proc: Path = Path("/proc"), quiet: float = _QUIET_S) -> None:
        """`proc` is this process's own /proc; pressure that stays is news again after `quiet` seconds without it."""
        self._clock = clock
        self._folder = proc / "pressure"
        self._quiet = quiet
        self._files: dict[str, _File] = {}
        self._last: dict[str, float] = {}
        self._poll = select.poll()
        self._wake: tuple[int, int] | None = None
        self._ended = threading.Event()
        self._deliver: Deliver | None = None
        self._thread = threading.Thread(target=self._run, name="pressure", daemon=True)

    @property
    def notified(self) -> Mapping[str, bool]:
        """Tell of which resources the kernel itself notifies; those that are missing have no pressure file."""
        return {resource: item.notified for resource, item in self._files.items()}

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""
        self._deliver = deliver
        self._open()
        if self._files:
            self._wake = os.pipe()
            self._poll.register(self._wake[0], select.POLLIN)
            self._thread.start()

    def stop(self) -> None:
        """End within a second."""
        self._ended.set()
        wake, self._wake = self._wake, None
        if wake is None:
            return
        os.write(wake[1], b"\0")
        self._thread.join(_JOIN_S)
        if not self._thread.is_alive():  # else it still polls its end
            for end in wake:
                os.close(end)

    def _open(self) -> None:
        why = ""
        for resource in RESOURCES:
            path = self._folder / resource
            try:
                self._files[resource] = item = _File(_trigger(path), notified=True)
                self._poll.register(item.descriptor, select.POLLPRI)
            except OSError as error:
                why = error.strerror or str(error)
                self._open_to_read(resource, path)
        if not self._files:
            logger.info("mode Hybrid cannot see pressure: %s cannot be read", self._folder)
        elif why:
            logger.info("mode Hybrid reads %s every %g s: the kernel sets no trigger (%s)", self._folder, WINDOW_S, why)

    def _open_to_read(self, resource: str, path: Path) -> None:
        try:
            item = _File(os.open(path, os.O_RDONLY | os.O_CLOEXEC), notified=False)
        except OSError:
            return
        try:
            item.total, item.read_at = self._total(item), self._clock.monotonic()
        except (OSError, ValueError, LookupError):
            os.close(item.descriptor)
            return
        self._files[resource] = item

    def _run(self) -> None:
        polled = any(not item.notified for item in self._files.values())
        timeout = WINDOW_S * 1000 if polled else None
        try:
            while not self._ended.is_set():
                ready = dict(self._poll.poll(timeout))
                if self._ended.is_set():
                    return
                self._look(ready)
        except Exception:
            logger.exception("watching the node's pressure ended; please report this as a defect")
        finally:
            for item in self._files.values():
                os.close(item.descriptor)

    def _look(self, ready: Mapping[int, int]) -> None:
        for resource, item in self._files.items():
            if item.notified:
                events = ready.get(item.descriptor, 0)
                if events & select.POLLERR:  # the trigger is gone
                    self._poll.unregister(item.descriptor)
                elif events & select.POLLPRI:
                    self._rose(resource)
            elif self._stalled(item):
                self._rose(resource)

    def _stalled(self, item: _File) -> bool:
        try:
            total = self._total(item)
        except (OSError, ValueError, LookupError):
            return False
        now = self._clock.monotonic()
        seconds, grown = now - item.read_at, total - item.total
        if seconds < WINDOW_S / 2:
            return False
        item.total, item.read_at = total, now
        return grown >= STALLED_S * seconds / WINDOW_S

    def _rose(self, resource: str) -> None:
        now = self._clock.monotonic()
        last, self._last[resource] = self._last.get(resource, float("-inf")), now
        if now - last > self._quiet and self._deliver is not None:
            self._deliver(PressureRose(resource, self._clock.time()))

    @staticmethod
    def _total(item: _File) -> float:
        return stalled_seconds(os.pread(item.descriptor, 4096, 0).decode())["some"]


def _trigger(path: Path) -> int:
    """Open a pressure file and set a trigger, which lasts as long as the descriptor.

    Raises:
        OSError: the kernel grants none.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(descriptor, _TRIGGER)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
