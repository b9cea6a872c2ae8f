"""The devices of a domain, from its live XML: read once per incarnation and again when a device is plugged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from virtwatch_agent.collect.kernel.reader import Nic
from virtwatch_agent.observations import Disk

_KUBEVIRTS = "ua-"  # begins the alias of a device that KubeVirt made; the name of its volume follows
_WRITABLE = frozenset({"disk", "lun"})


@dataclass(frozen=True, slots=True)
class Devices:
    """Hold what collection needs: the NICs, the disks by target, and which alias means which disk.

    `volumes` are the thin disks that lie on a block device, and that device; `raw_volumes` the disks that are one,
    whole. `stats_period` is how often (seconds) the guest is asked for its memory figures, 0 where nobody asks. `vcpus`
    and `memory` (bytes) are what the domain was given. `off_main_loop` says that
    no disk is served by QEMU's main thread. `places` say where its disks lie that are no CD-ROM or floppy.
    """

    nics: tuple[Nic, ...] = ()
    disks: tuple[str, ...] = ()
    disk_of_alias: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    raw_volumes: frozenset[str] = frozenset()
    stats_period: float = 0.0
    vcpus: int = 0
    memory: float = 0.0
    places: tuple[Disk, ...] = ()
    off_main_loop: bool = False


def parse_devices(xml: str) -> Devices:
    """Parse a domain's XML; ValueError when it is none."""
    try:
        # expat refuses entity bombs since 2.4.1, and ElementTree loads nothing from outside.
        root = ET.fromstring(xml)  # noqa: S314
    except ET.ParseError as error:
        raise ValueError(f"The domain's XML cannot be read: {error}") from error
    nics = (
        # A macvtap is the guest's connection itself; a tap is its far end, where received means sent by the guest.
        Nic(target.get("dev", ""), host_view=nic.get("type") == "direct")
        for nic in root.iterfind("devices/interface")
        if (target := nic.find("target")) is not None
    )
    disks = [
        (target.get("dev", ""), alias.get("name", "") if (alias := disk.find("alias")) is not None else "")
        for disk in root.iterfind("devices/disk")
        if (target := disk.find("target")) is not None
    ]
    volumes, raw_volumes = _volumes(root)
    vcpu, memory = root.find("vcpu"), root.find("currentMemory")
    if memory is None:
        memory = root.find("memory")
    period = root.find("devices/memballoon/stats")
    return Devices(
        nics=tuple(nic for nic in nics if nic.interface),
        disks=tuple(name for name, _ in disks if name),
        disk_of_alias={alias: name for name, alias in disks if alias and name},
        volumes=volumes,
        raw_volumes=raw_volumes,
        vcpus=int(vcpu.get("current") or vcpu.text or 0) if vcpu is not None else 0,
        memory=float(memory.text or 0) * 1024 if memory is not None else 0.0,  # a live domain's is in KiB
        stats_period=float(period.get("period", "0")) if period is not None else 0.0,
        off_main_loop=all(map(_off_main_loop, root.iterfind("devices/disk"))),
        places=tuple(_places(root)),
    )


def _places(root: ET.Element) -> Iterator[Disk]:
    for disk in root.iterfind("devices/disk"):
        target, source = disk.find("target"), disk.find("source")
        if disk.get("device", "disk") not in _WRITABLE or target is None or source is None:
            continue
        path = source.get("file") or source.get("dev") or ""
        if source.get("protocol") == "rbd":
            path = f"rbd:{source.get('name', '')}"
        alias = disk.find("alias")
        name = alias.get("name", "") if alias is not None else ""
        volume = name.removeprefix(_KUBEVIRTS) if name.startswith(_KUBEVIRTS) else ""
        yield Disk(target.get("dev", ""), source.get("pool", ""), path, volume)


def _off_main_loop(disk: ET.Element) -> bool:
    """Return whether other threads than QEMU's main one complete a disk's requests.

    An I/O thread does; else the threads of QEMU's pool, but only for each request of a raw image that is not read by
    the kernel's asynchronous I/O: of other formats some requests need no thread.
    """
    driver = disk.find("driver")
    if driver is None:
        return False
    if driver.get("iothread") is not None or driver.find("iothreads") is not None:
        return True
    by_pool = driver.get("io", "threads") == "threads" and driver.get("type") == "raw"
    return by_pool and disk.get("type") in ("file", "block")


def _volumes(root: ET.Element) -> tuple[dict[str, str], frozenset[str]]:
    volumes, raw = {}, set()
    for disk in root.iterfind("devices/disk[@type='block']"):
        target, source, driver = disk.find("target"), disk.find("source"), disk.find("driver")
        name = target.get("dev", "") if target is not None else ""
        if driver is None or driver.get("type", "raw") == "raw":
            raw.add(name)
        else:
            volumes[name] = source.get("dev", "") if source is not None else ""
    return volumes, frozenset(raw)
