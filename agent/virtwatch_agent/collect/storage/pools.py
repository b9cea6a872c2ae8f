"""Reads libvirt's storage pools and their volumes."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

import libvirt

from virtwatch_agent.collect.objects.reader import Heard, ObjectReader
from virtwatch_agent.observations import LibvirtObject, Series
from virtwatch_agent.seams import Clock
from virtwatch_api.catalogue.entries import Source, TargetKind
from virtwatch_api.targets import TargetRef

_EVENTS = {
    libvirt.VIR_STORAGE_POOL_EVENT_STARTED: "pool.started",
    libvirt.VIR_STORAGE_POOL_EVENT_STOPPED: "pool.stopped",
}
_RUNNING = (libvirt.VIR_STORAGE_POOL_RUNNING, libvirt.VIR_STORAGE_POOL_DEGRADED)
# Pools that lie on a file system of the host: what is free there changes without libvirt, which looks at a refresh.
_ON_A_FILE_SYSTEM = frozenset({"dir", "fs", "netfs"})
# Pools whose volumes lie in a folder of their own; those of a disk, of iSCSI and of SCSI share one in /dev.
_OWN_FOLDER = _ON_A_FILE_SYSTEM | {"logical", "zfs", "vstorage"}
_VOLUMES_EVERY_S = 30.0  # libvirt opens a volume to say how much it occupies
_VOLUMES_AT_ONCE_S = 0.5  # of a look; the other volumes wait for the next one
_MOST_VOLUMES = 1000  # of a pool, that are read one by one


@dataclass(slots=True)
class _Volume:
    capacity: float
    allocation: float
    read_at: float


@dataclass(slots=True)
class _Volumes:
    known: dict[str, _Volume] = field(default_factory=dict)
    listed_at: float = float("-inf")
    left: list[libvirt.virStorageVol] = field(default_factory=list)  # that this round has not read yet


class PoolReader(ObjectReader):
    """Read storage pools."""

    kind = TargetKind.STORAGE_POOL
    source = Source.STORAGE

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._volumes: dict[str, _Volumes] = {}

    def listen(self, raw: libvirt.virConnect, received: Heard) -> Callable[[], None]:
        """Register for pools that start, stop, come and go."""

        def on_event(_: object, pool: libvirt.virStoragePool, event: int, __: int, ___: object) -> None:
            received(pool.UUIDString(), _EVENTS.get(event, ""))

        callback = raw.storagePoolEventRegisterAny(None, libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE, on_event, None)
        return lambda: raw.storagePoolEventDeregisterAny(callback)

    def list_all(self, raw: libvirt.virConnect, connection: str) -> tuple[LibvirtObject, ...]:
        """Return every pool."""
        return tuple(
            LibvirtObject(
                TargetRef(self.kind, pool.UUIDString()), pool.name(), connection, bool(pool.isActive()), _place(pool)
            )
            for pool in raw.listAllStoragePools(0)
        )

    def read(self, raw: libvirt.virConnect, uuid: str, *, local: bool) -> Mapping[Series, float]:
        """Return a pool's readings, and those of its volumes."""
        pool = raw.storagePoolLookupByUUIDString(uuid)
        state, capacity, allocation, available = pool.info()
        if state not in _RUNNING:
            return {("pool.state", ""): 0.0}
        if local and (found := _of_file_system(pool, capacity)) is not None:
            allocation, available = found
        values = {
            ("pool.state", ""): 1.0,
            ("pool.capacity", ""): float(capacity),
            ("pool.allocation", ""): float(allocation),
            ("pool.free", ""): float(available),
        }
        return values | self._read_volumes(pool, uuid)

    def forget(self, uuid: str) -> None:
        """Drop what is kept of a pool that is gone."""
        self._volumes.pop(uuid, None)

    def _read_volumes(self, pool: libvirt.virStoragePool, uuid: str) -> dict[Series, float]:
        volumes = self._volumes.setdefault(uuid, _Volumes())
        began = self._clock.monotonic()
        if began - volumes.listed_at >= _VOLUMES_EVERY_S and not volumes.left:
            volumes.left = pool.listAllVolumes(0)
            volumes.listed_at = began
            names = {volume.name() for volume in volumes.left}
            volumes.known = {name: volume for name, volume in volumes.known.items() if name in names}
            if len(volumes.left) > _MOST_VOLUMES:
                volumes.known, volumes.left = {}, []
        while volumes.left and self._clock.monotonic() - began < _VOLUMES_AT_ONCE_S:
            volume = volumes.left.pop()
            with suppress(libvirt.libvirtError):  # it was removed meanwhile, or cannot be opened: absent
                _, capacity, allocation = volume.info()
                volumes.known[volume.name()] = _Volume(float(capacity), float(allocation), began)
        values: dict[Series, float] = {}
        for name, known in volumes.known.items():
            values["volume.capacity", name] = max(known.capacity, known.allocation)
            values["volume.allocation", name] = known.allocation
        if not volumes.left and (volumes.known or pool.numOfVolumes() == 0):
            values["pool.promised", ""] = sum(known.capacity for known in volumes.known.values())
        return values


def _place(pool: libvirt.virStoragePool) -> str:
    """Return the folder that holds a pool's volumes and nothing else; empty where other pools' may lie there too."""
    with suppress(libvirt.libvirtError):
        document = ET.fromstring(pool.XMLDesc(0))  # noqa: S314 - libvirt is trusted
        kind = document.get("type")
        if kind == "rbd":
            return f"rbd:{document.findtext('source/name', '')}"
        if kind in _OWN_FOLDER:
            return document.findtext("target/path", "").rstrip("/")
    return ""


def _of_file_system(pool: libvirt.virStoragePool, capacity: int) -> tuple[int, int] | None:
    """Return used and free bytes by the host's own word; None where the pool lies on no file system that is seen here.

    In a pod the path may name another file system: only one of the very size that libvirt says is the pool's.
    """
    document = ET.fromstring(pool.XMLDesc(0))  # noqa: S314 - libvirt is trusted
    path = document.findtext("target/path")
    if document.get("type") not in _ON_A_FILE_SYSTEM or not path:
        return None
    try:
        system = os.statvfs(path)
    except OSError:
        return None
    if system.f_blocks * system.f_frsize != capacity:
        return None
    free = system.f_bfree * system.f_frsize
    return capacity - free, free
