"""What QEMU need not be asked: figures that cannot have changed since it was asked, because no thread for them has run.

A VM's disks rest while neither a thread of its pool nor an I/O thread has run; the guest reports no memory while no
vCPU has, nor does one without a driver for its balloon, which therefore keeps its size. QEMU is asked whether it
answers all the same, and every minute for the figures themselves.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from virtwatch_agent.collect.kernel.activity import ThreadActivity
from virtwatch_agent.collect.kernel.reader import KernelReader
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.readings import aged
from virtwatch_agent.observations import Series
from virtwatch_api.catalogue.readings import Source

SOURCES = frozenset((Source.BLOCK, Source.BALLOON))
LONGEST_S = 60.0  # for which figures are taken as unchanged: the host may have changed a disk's size or a volume's
WATCH_S = 7.5  # between looks at the threads, so that none can come and go unseen
_FLUSHES_S = 600.0  # for which disks are asked that were flushed unseen: their guest will do it again
_BOOTED_S = 120.0  # after a start: a guest that has not reported by then has no driver, unless one is loaded later
_FRESH_S = 1.0  # what was looked at within it may wait for the next of them

_Key = tuple[str, Source]


@dataclass(frozen=True, slots=True)
class Held:
    """Hold readings that are true at an instant: seconds since 1970, and monotonic."""

    source: Source
    values: Mapping[Series, float]
    at: float
    clock: float


@dataclass(frozen=True, slots=True)
class _Mark:
    """Say how things stood before QEMU was asked."""

    reader: KernelReader
    devices: Devices
    paused: bool
    vcpus: int
    disks: int
    clock: float


@dataclass(frozen=True, slots=True)
class _Known:
    mark: _Mark
    values: Mapping[Series, float]


class Unchanged:
    """Know VMs by UUID; used on the collector's thread only."""

    def __init__(self, activity: Callable[[Path], ThreadActivity] = ThreadActivity) -> None:
        """`activity` reports the threads of the QEMU at a folder of /proc."""
        self._make_activity = activity
        self._activity: dict[str, tuple[KernelReader, ThreadActivity]] = {}
        self._asked: dict[_Key, _Mark] = {}
        self._known: dict[_Key, _Known] = {}
        self._held: dict[str, dict[Source, Held]] = {}
        self._reports: set[str] = set()  # VMs whose guest has ever reported its memory
        self._flushed: dict[str, float] = {}  # when a VM's disks were flushed and no thread had run

    def look(
        self,
        uuid: str,
        source: Source,
        reader: KernelReader | None,
        devices: Devices,
        *,
        paused: bool,
        at: float,
        clock: float,
    ) -> bool:
        """Hold a source's readings that cannot have changed; return whether they are held. Else QEMU is asked now.

        `at` is seconds since 1970, `clock` monotonic seconds.
        """
        if reader is None or source not in SOURCES:
            return False
        activity = self._look_at(uuid, reader, clock)
        now = _Mark(reader, devices, paused, activity.vcpus, activity.disks, clock)
        known = self._known.get((uuid, source))
        flushes = clock - self._flushed.get(uuid, float("-inf")) < _FLUSHES_S
        silent = devices.stats_period > 0 and uuid not in self._reports and at - reader.process.started > _BOOTED_S
        if known is not None and _rests(source, known.mark, now, flushes=flushes, silent=silent):
            values = known.values
            if source is Source.BALLOON:
                values = aged(values, now=at, period=devices.stats_period)
            self._held.setdefault(uuid, {})[source] = Held(source, values, at, clock)
            return True
        # An answer that is still to come may be to the question before: what was then counts.
        self._asked.setdefault((uuid, source), now)
        return False

    def answered(self, uuid: str, source: Source, values: Mapping[Series, float]) -> None:
        """Take what QEMU answered."""
        if ("memory.guest.updated", "") in values:
            self._reports.add(uuid)
        mark = self._asked.pop((uuid, source), None)
        if mark is not None:
            known, now = self._known.get((uuid, source)), _Known(mark, values)
            if source is Source.BLOCK and known is not None and _flushed_unseen(known, now):
                self._flushed[uuid] = mark.clock
            self._known[uuid, source] = now

    def release(self, uuid: str) -> Iterator[Held]:
        """Yield what is held of a VM, whose monitor is known to answer."""
        yield from self._held.pop(uuid, {}).values()

    def drop(self, uuid: str) -> None:
        """Drop what is held of a VM, whose monitor does not answer."""
        self._held.pop(uuid, None)

    def watch(self, *, clock: float) -> None:
        """Look at the threads of VMs that were not looked at for a while, of which something may be held next time."""
        for (uuid, source), known in self._known.items():
            if source is Source.BLOCK and known.mark.devices.off_main_loop and clock - known.mark.clock < LONGEST_S:
                reader, activity = self._activity[uuid]
                if reader is known.mark.reader and clock - activity.looked_at >= _FRESH_S:
                    activity.look(now=clock)

    def forget(self, uuid: str) -> None:
        """Drop a VM that is gone, or whose QEMU is a new one."""
        self._activity.pop(uuid, None)
        self._flushed.pop(uuid, None)
        self._reports.discard(uuid)
        self._held.pop(uuid, None)
        for source in SOURCES:
            self._asked.pop((uuid, source), None)
            self._known.pop((uuid, source), None)

    def _look_at(self, uuid: str, reader: KernelReader, clock: float) -> ThreadActivity:
        known = self._activity.get(uuid)
        if known is None or known[0] is not reader:
            known = self._activity[uuid] = reader, self._make_activity(reader.process.folder)
        known[1].look(now=clock)
        return known[1]


def _flushed_unseen(then: _Known, now: _Known) -> bool:
    """Return whether flushes ended and no thread for them ran: QEMU has none run where nothing was written before."""
    if then.mark.reader is not now.mark.reader or then.mark.disks != now.mark.disks:
        return False
    counted = ((series, value) for series, value in now.values.items() if series[0] == "disk.flush.operations")
    return any(value > then.values.get(series, value) for series, value in counted)


def _rests(source: Source, then: _Mark, now: _Mark, *, flushes: bool, silent: bool) -> bool:
    """Return whether nothing for a source's figures can have run since then.

    `flushes` run no thread; a `silent` guest, which is asked to report its memory, never did.
    """
    if then.reader is not now.reader or now.clock - then.clock >= LONGEST_S:
        return False
    if then.devices is not now.devices and then.devices != now.devices:
        return False
    stood = then.vcpus == now.vcpus
    if source is Source.BALLOON:
        return stood or silent
    if now.devices.volumes:  # the host extends them while the guest rests
        return False
    # QEMU ends all requests before it says that a VM is paused.
    stopped = then.paused and now.paused and stood
    return stopped or (not flushes and now.devices.off_main_loop and then.disks == now.disks)
