"""From libvirt's figures to readings of the catalogue: pure. What libvirt does not say is absent, never 0."""

from collections.abc import Mapping

from virtwatch_agent.observations import Series

_KIB = 1024.0
_NANOSECOND = 1e-9
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
    "capacity": ("disk.capacity", 1.0),
    "allocation": ("disk.allocation", 1.0),
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
# names that virDomainMemoryStats uses for the same figures
_MEMORY_STATS = {"actual": "current", "last_update": "last-update"}
_NIC = ("bytes", "packets", "errors", "drops")


def block(stats: Mapping[str, int | str]) -> dict[Series, float]:
    """Read the BLOCK group of one domain."""
    values: dict[Series, float] = {}
    for number in range(int(stats.get("block.count", 0))):
        device = str(stats.get(f"block.{number}.name", ""))
        for suffix, (reading, factor) in _BLOCK.items():
            if device and (figure := stats.get(f"block.{number}.{suffix}")) is not None:
                values[reading, device] = float(figure) * factor
    return values


def balloon(stats: Mapping[str, int | str], *, now: float) -> dict[Series, float]:
    """Read the BALLOON group of one domain; `now` is seconds since 1970, for the age of the guest's own figures."""
    values = {
        (reading, ""): float(figure) * factor
        for name, (reading, factor) in _BALLOON.items()
        if (figure := stats.get(f"balloon.{name}")) is not None
    }
    updated = float(stats.get("balloon.last-update", 0))
    if updated > 0:  # 0: the guest's driver has never answered
        values["memory.guest.age", ""] = max(0.0, now - updated)
    return values


def memory_stats(stats: Mapping[str, int], maximum: int, *, now: float) -> dict[Series, float]:
    """Read virDomainMemoryStats; `maximum` is KiB."""
    named = {f"balloon.{_MEMORY_STATS.get(name, name)}": figure for name, figure in stats.items()}
    return balloon({**named, "balloon.maximum": maximum}, now=now)


def block_stats(device: str, stats: tuple[int, ...], info: tuple[int, ...]) -> dict[Series, float]:
    """Read virDomainBlockStats (requests and bytes, read and written) and virDomainGetBlockInfo of one disk."""
    figures = (*stats[:4], *info[:2])
    names = ("rd.reqs", "rd.bytes", "wr.reqs", "wr.bytes", "capacity", "allocation")
    # libvirt says -1 for what a driver does not know.
    return {
        (_BLOCK[name][0], device): float(figure) for name, figure in zip(names, figures, strict=True) if figure >= 0
    }


def interface_stats(interface: str, stats: tuple[int, ...]) -> dict[Series, float]:
    """Read virDomainInterfaceStats of one NIC: bytes, packets, errors, drops; received, then transmitted."""
    names = [f"network.{direction}.{name}" for direction in ("receive", "transmit") for name in _NIC]
    return {(name, interface): float(figure) for name, figure in zip(names, stats, strict=True) if figure >= 0}


def vcpu_times(times: list[int]) -> dict[Series, float]:
    """Read the CPU time (ns) of each vCPU."""
    values: dict[Series, float] = {("cpu.time", str(n)): time * _NANOSECOND for n, time in enumerate(times)}
    return {**values, ("cpu.count", ""): float(len(times))}
