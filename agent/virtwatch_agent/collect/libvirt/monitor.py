"""The expensive tier: figures that libvirt asks of the QEMU monitor, which a stuck guest never answers.

These functions run in the pool; monitor_queue.py decides when.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import libvirt

from virtwatch_agent.collect.libvirt import readings
from virtwatch_agent.collect.libvirt.connection import QEMU, Connection
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.observations import Series
from virtwatch_agent.seams import Clock
from virtwatch_api.catalogue.readings import Source

# What the bulk call tells; disks' errors have a call of their own.
_GROUPS = {Source.BLOCK: libvirt.VIR_DOMAIN_STATS_BLOCK, Source.BALLOON: libvirt.VIR_DOMAIN_STATS_BALLOON}
# A domain whose monitor another client just asks (virt-launcher does so all the time) is left out, not waited for.
_FLAGS = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_CONNECTION_LOST = (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_SYSTEM_ERROR)
_GONE = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)


@dataclass(frozen=True, slots=True)
class Occupied:
    """Say since when (seconds) a domain's monitor has been answering someone, or that it is broken."""

    seconds: float
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what a call brought: readings by UUID and source, and the domains whose monitor was occupied."""

    occupied: Mapping[str, Occupied]
    free: frozenset[str]
    read: Mapping[str, Mapping[Source, Mapping[Series, float]]] = field(default_factory=dict)
    at: float = 0.0  # when it was read: seconds since 1970, and monotonic
    clock: float = 0.0


def probe(connection: Connection, uuids: Iterable[str]) -> Answer:
    """Ask libvirt, not the monitors, whether the domains' monitors are occupied; one that is gone is left out."""
    occupied, free = {}, set()
    for uuid in uuids:
        try:
            state, _, milliseconds = connection.domain(uuid).controlInfo()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _GONE:
                raise
            continue
        if state in (libvirt.VIR_DOMAIN_CONTROL_OCCUPIED, libvirt.VIR_DOMAIN_CONTROL_ERROR):
            occupied[uuid] = Occupied(milliseconds / 1000.0, broken=state == libvirt.VIR_DOMAIN_CONTROL_ERROR)
        else:
            free.add(uuid)
    return Answer(occupied, frozenset(free))


def ask(connection: Connection, domains: Mapping[str, Devices], sources: frozenset[Source], clock: Clock) -> Answer:
    """Ask the free ones of these domains (UUID and its devices); libvirtError when the connection fails."""
    seen = probe(connection, domains)
    free = {uuid: domains[uuid] for uuid in seen.free}
    if connection.driver == QEMU:
        read = _ask_bulk(connection, free, sources, clock)
    else:
        read = {uuid: _ask_one(connection, uuid, free[uuid], sources, clock) for uuid in free}
    # One that another client began to ask meanwhile is answered in part: it is asked again, not taken for all.
    partial = {uuid: Occupied(0.0) for uuid, values in read.items() if values is None}
    whole = {uuid: values for uuid, values in read.items() if values is not None}
    return Answer({**seen.occupied, **partial}, seen.free - partial.keys(), whole, clock.time(), clock.monotonic())


def _ask_bulk(
    connection: Connection, devices: Mapping[str, Devices], sources: frozenset[Source], clock: Clock
) -> dict[str, dict[Source, dict[Series, float]] | None]:
    domains = [connection.domain(uuid) for uuid in devices]
    if not domains:
        return {}
    groups = sum(_GROUPS[source] for source in sources if source in _GROUPS)
    found: dict[str, dict[Source, dict[Series, float]] | None] = {}
    # Without a group the call would ask for all that there is.
    bulk = connection.raw.domainListGetStats(domains, groups, _FLAGS) if groups else [(one, {}) for one in domains]
    for domain, stats in bulk:
        uuid = domain.UUIDString()
        if not all(_is_whole(source, stats) for source in sources):
            found[uuid] = None
            continue
        read = found[uuid] = {}
        if Source.BLOCK in sources:
            read[Source.BLOCK] = readings.block(stats, devices[uuid].volumes, devices[uuid].raw_volumes)
        if Source.BALLOON in sources:
            read[Source.BALLOON] = readings.balloon(stats, now=clock.time(), period=devices[uuid].stats_period)
        if Source.ERRORS in sources:
            _read_errors(domain, devices[uuid], read)
        if Source.JOB in sources:
            _read_job(domain, read)
    return found


def _read_errors(domain: libvirt.virDomain, devices: Devices, read: dict[Source, dict[Series, float]]) -> None:
    """Ask which disks have an error, while the VM is paused for one: QEMU before 9 shows it for ever after."""
    with _only_this_figure():
        stopped = domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR]
        read[Source.ERRORS] = readings.disk_errors(devices.disks, domain.diskErrors() if stopped else {})


def _read_job(domain: libvirt.virDomain, read: dict[Source, dict[Series, float]]) -> None:
    with _only_this_figure():
        job = domain.jobStats()
        migrates = job.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
        read[Source.JOB] = readings.migration(job if migrates else {})


def _is_whole(source: Source, stats: Mapping[str, int | str]) -> bool:
    """Tell whether a group holds what QEMU was asked for: without its answer libvirt fills in what it knows itself."""
    if source in (Source.ERRORS, Source.JOB):
        return True
    if source is Source.BALLOON:
        return "balloon.last-update" in stats
    drives = [number for number in range(int(stats.get("block.count", 0))) if stats.get(f"block.{number}.path")]
    return not drives or any(f"block.{number}.rd.reqs" in stats for number in drives)


def _ask_one(
    connection: Connection, uuid: str, devices: Devices, sources: frozenset[Source], clock: Clock
) -> dict[Source, dict[Series, float]]:
    """Ask a driver without bulk statistics, call by call: what one call cannot tell costs its own figures."""
    domain = connection.domain(uuid)
    read: dict[Source, dict[Series, float]] = {}
    if Source.BALLOON in sources:
        with _only_this_figure():
            read[Source.BALLOON] = readings.memory_stats(
                domain.memoryStats(), domain.info()[1], now=clock.time(), period=devices.stats_period
            )
    if Source.ERRORS in sources:
        _read_errors(domain, devices, read)
    if Source.JOB in sources:
        _read_job(domain, read)
    if Source.BLOCK in sources:
        values = read[Source.BLOCK] = {}
        for disk in devices.disks:
            with _only_this_figure():
                values |= readings.block_stats(
                    disk,
                    domain.blockStats(disk),
                    domain.blockInfo(disk),
                    on_volume=disk in devices.volumes,
                    raw_volume=disk in devices.raw_volumes,
                )
    return read


@contextmanager
def _only_this_figure() -> Iterator[None]:
    """Let a call that fails for its device (an empty drive) cost that device's figures alone."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() in _CONNECTION_LOST:
            raise
