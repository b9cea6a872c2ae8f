"""From libvirt's figures to readings of the catalogue: pure. What libvirt does not say is absent, never 0."""

from collections.abc import Container, Iterable, Mapping

from virtwatch_agent.observations import Series

_KIB = 1024.0
_MIB = 1024.0**2
_NANOSECOND = 1e-9
_MILLISECOND = 1e-3
_MEASURED = 2  # VIR_DOMAIN_DIRTYRATE_MEASURED
_MEASURED_LATELY_S = 90.0
# suffix of block.N.*: reading, factor to its unit
_BLOCK = {
    "rd.reqs": ("disk.read.operations", 1.0),
    "rd.bytes": ("disk.read.bytes", 1.0),
    "rd.times": ("disk.read.time", _NANOSECOND),
    "wr.reqs": ("disk.write.operations", 1.0),
    "wr.bytes": ("disk.write.bytes", 1.0),
    "wr.times": ("disk.write.time", _NANOSECOND),
    "fl.reqs": ("disk.flush.operations", 1.0),
    "fl.times": ("disk.flush.time", _NANOSECOND),
}
# name in the balloon group, after "balloon."
_BALLOON = {
    "current": ("memory.balloon", _KIB),
    "maximum": ("memory.maximum", _KIB),
    "available": ("memory.available", _KIB),
    "usable": ("memory.usable", _KIB),
    "major_fault": ("memory.major_faults", 1.0),
    "swap_in": ("memory.swap_in", _KIB),
    "swap_out": ("memory.swap_out", _KIB),
}
# Of those, what the host knows; the guest reports the others.
_OF_THE_HOST = ("current", "maximum")
_OF_THE_GUEST = frozenset(reading for name, (reading, _) in _BALLOON.items() if name not in _OF_THE_HOST)
_STALE_PERIODS = 3.0  # without a report, after which the guest's figures are no data
_STALE_AT_LEAST_S = 15.0
# names that virDomainMemoryStats uses for the same figures
_MEMORY_STATS = {"actual": "current", "last_update": "last-update"}
_NIC = ("bytes", "packets", "errors", "drops")


def block(
    stats: Mapping[str, int | str], volumes: Container[str] = (), raw_volumes: Container[str] = ()
) -> dict[Series, float]:
    """Read the BLOCK group of one domain; `volumes` are thin disks on a block device, `raw_volumes` are one, whole."""
    values: dict[Series, float] = {}
    for number in range(int(stats.get("block.count", 0))):
        device = str(stats.get(f"block.{number}.name", ""))
        if not device:
            continue
        for suffix, (reading, factor) in _BLOCK.items():
            if (figure := stats.get(f"block.{number}.{suffix}")) is not None:
                values[reading, device] = float(figure) * factor
        sizes = [float(stats.get(f"block.{number}.{name}", -1)) for name in ("capacity", "allocation", "physical")]
        values |= _room(device, *sizes, on_volume=device in volumes, raw_volume=device in raw_volumes)
    return values


def _room(
    device: str, capacity: float, allocation: float, physical: float, *, on_volume: bool, raw_volume: bool = False
) -> dict[Series, float]:
    """Say how much a disk occupies, and of how much; libvirt's words mean different things for files and volumes.

    A file occupies its blocks (`physical`), wherever in it they lie, and may grow to what the guest sees. Of a thin
    disk on a block device the highest offset that was written (`allocation`) counts, of the device's size
    (`physical`); it is 0 until QEMU writes for the first time after its start, which says nothing. A raw device cannot
    fill.
    """
    values: dict[Series, float] = {("disk.capacity", device): capacity} if capacity >= 0 else {}
    if raw_volume:
        return values
    if on_volume or physical <= 0:
        occupied, room = allocation, physical if physical > 0 else capacity
    else:
        occupied, room = physical, max(capacity, physical)
    if room > 0:
        values["disk.room", device] = room
        if occupied > 0 or (not on_volume and physical > 0):
            values["disk.allocation", device] = occupied
    return values


def balloon(stats: Mapping[str, int | str], *, now: float, period: float = 0.0) -> dict[Series, float]:
    """Read the BALLOON group of one domain; `now` is seconds since 1970, `period` seconds between the guest's reports.

    Figures that are older than a few periods are left out: a guest that reports no more still shows its last ones.
    """
    updated = float(stats.get("balloon.last-update", 0))  # 0: the guest's driver has never answered
    age = max(0.0, now - updated)
    stale = updated > 0 and age > max(_STALE_AT_LEAST_S, _STALE_PERIODS * period)
    values = {
        (reading, ""): float(figure) * factor
        for name, (reading, factor) in _BALLOON.items()
        if (figure := stats.get(f"balloon.{name}")) is not None and not (stale and name not in _OF_THE_HOST)
    }
    if updated > 0:
        values["memory.guest.age", ""] = age
        values["memory.guest.updated", ""] = updated
    return values


def aged(values: Mapping[Series, float], *, now: float, period: float = 0.0) -> dict[Series, float]:
    """Return what `balloon` reads later of the same figures: the guest has reported nothing since."""
    updated = values.get(("memory.guest.updated", ""), 0.0)
    if not updated:
        return dict(values)
    age = max(0.0, now - updated)
    stale = age > max(_STALE_AT_LEAST_S, _STALE_PERIODS * period)
    kept = {series: value for series, value in values.items() if not (stale and series[0] in _OF_THE_GUEST)}
    return {**kept, ("memory.guest.age", ""): age}


def memory_stats(stats: Mapping[str, int], maximum: int, *, now: float, period: float = 0.0) -> dict[Series, float]:
    """Read virDomainMemoryStats; `maximum` is KiB."""
    named = {f"balloon.{_MEMORY_STATS.get(name, name)}": figure for name, figure in stats.items()}
    return balloon({**named, "balloon.maximum": maximum}, now=now, period=period)


def block_stats(
    device: str, stats: tuple[int, ...], info: tuple[int, ...], *, on_volume: bool = False, raw_volume: bool = False
) -> dict[Series, float]:
    """Read virDomainBlockStats (requests and bytes, read and written) and virDomainGetBlockInfo of one disk."""
    names = ("rd.reqs", "rd.bytes", "wr.reqs", "wr.bytes")
    # libvirt says -1 for what a driver does not know.
    values = {
        (_BLOCK[name][0], device): float(figure) for name, figure in zip(names, stats, strict=False) if figure >= 0
    }
    return values | _room(device, *map(float, info[:3]), on_volume=on_volume, raw_volume=raw_volume)


def disk_errors(disks: Iterable[str], errors: Mapping[str, int]) -> dict[Series, float]:
    """Read virDomainGetDiskErrors, which names the disks that have one."""
    return {("disk.error", disk): float(errors.get(disk, 0)) for disk in disks}


def migration(job: Mapping[str, int]) -> dict[Series, float]:
    """Read virDomainGetJobStats of a live migration, which is empty where there is none."""
    values = {("migration.remaining", ""): float(job.get("data_remaining", 0))}
    if job.get("downtime", 0) > 0:
        values["migration.downtime", ""] = job["downtime"] * _MILLISECOND
    return values


def dirty_rate(job: Mapping[str, int], stats: Mapping[str, int | str], *, now: float) -> dict[Series, float]:
    """Read how fast the guest dirties memory: of its migration's virDomainGetJobStats, else of the DIRTYRATE group.

    `now` is monotonic seconds of the host, as QEMU's; a measurement that is older than 90 s is no data.
    """
    pages, size = job.get("memory_dirty_rate", 0), job.get("memory_page_size", 0)
    if pages > 0 and size > 0:
        return {("memory.dirty.rate", ""): float(pages * size)}
    rate = stats.get("dirtyrate.megabytes_per_second")
    begun = float(stats.get("dirtyrate.calc_start_time", 0))
    if rate is None or stats.get("dirtyrate.calc_status") != _MEASURED or not 0 <= now - begun <= _MEASURED_LATELY_S:
        return {}
    return {("memory.dirty.rate", ""): float(rate) * _MIB}


def interface_stats(interface: str, stats: tuple[int, ...]) -> dict[Series, float]:
    """Read virDomainInterfaceStats of one NIC: bytes, packets, errors, drops; received, then transmitted."""
    names = [f"network.{direction}.{name}" for direction in ("receive", "transmit") for name in _NIC]
    return {(name, interface): float(figure) for name, figure in zip(names, stats, strict=True) if figure >= 0}


def vcpu_times(times: Mapping[int, int], *, count: int | None = None) -> dict[Series, float]:
    """Read the CPU time (ns) of each vCPU, by its number; `count` is how many there are where times are not known."""
    values: dict[Series, float] = {("cpu.time", str(number)): time * _NANOSECOND for number, time in times.items()}
    return {**values, ("cpu.count", ""): float(len(times) if count is None else count)}
