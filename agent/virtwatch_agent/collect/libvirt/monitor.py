"""The expensive tier: figures that libvirt asks of the QEMU monitor, which a stuck guest never answers.

These functions run in the pool; monitor_queue.py decides when.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import libvirt

from virtwatch_agent.collect.libvirt import readings
from virtwatch_agent.collect.libvirt.connection import QEMU, Connection
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.jobs import JobsSeen, read_jobs
from virtwatch_agent.observations import Series
from virtwatch_agent.seams import Clock
from virtwatch_api.catalogue.readings import Source

# What the bulk call tells; disks' errors have a call of their own.
_GROUPS = {
    Source.BLOCK: libvirt.VIR_DOMAIN_STATS_BLOCK,
    Source.BALLOON: libvirt.VIR_DOMAIN_STATS_BALLOON,
    Source.DIRTY_RATE: libvirt.VIR_DOMAIN_STATS_DIRTYRATE,
}
_OF_THE_BULK_CALL = frozenset((Source.BLOCK, Source.BALLOON))  # alone
# What costs QEMU least of all that shows whether it answers.
_CHEAPEST = libvirt.VIR_DOMAIN_STATS_DIRTYRATE
_MOST_HANDLES = 4096  # of domains, that a connection keeps
# A domain whose monitor another client just asks (virt-launcher does so all the time) is left out, not waited for.
_FLAGS = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_CONNECTION_LOST = (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_SYSTEM_ERROR)
_LXC = "LXC"  # the name of the driver of containers
_UNKNOWN_SIZES = (-1, -1, -1)
_GONE = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)


@dataclass(frozen=True, slots=True)
class Occupied:
    """Say since when (seconds) a domain's monitor has been answering someone, is broken, held, or its QEMU stopped.

    One that is `held`, for a reason, is not asked, lest the call hang as those about others do.
    """

    seconds: float
    broken: bool = False
    held: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what a call brought: readings by UUID and source, and the domains whose monitor was occupied."""

    occupied: Mapping[str, Occupied]
    free: frozenset[str]
    read: Mapping[str, Mapping[Source, Mapping[Series, float]]] = field(default_factory=dict)
    at: float = 0.0  # when it was read: seconds since 1970, and monotonic
    clock: float = 0.0
    jobs: Mapping[str, JobsSeen] = field(default_factory=dict)


def probe(connection: Connection, uuids: Iterable[str]) -> Answer:
    """Ask libvirt, not the monitors, whether the domains' monitors are occupied; one that is gone is left out."""
    occupied, free = {}, set()
    for uuid in uuids:
        try:
            state, _, milliseconds = connection.domain(uuid).controlInfo()
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:  # a driver without monitors
                free.add(uuid)
            elif error.get_error_code() not in _GONE:
                raise
            continue
        if state in (libvirt.VIR_DOMAIN_CONTROL_OCCUPIED, libvirt.VIR_DOMAIN_CONTROL_ERROR):
            occupied[uuid] = Occupied(milliseconds / 1000.0, broken=state == libvirt.VIR_DOMAIN_CONTROL_ERROR)
        else:
            free.add(uuid)
    return Answer(occupied, frozenset(free))


def ask(connection: Connection, domains: Mapping[str, Devices], sources: frozenset[Source], clock: Clock) -> Answer:
    """Ask the free ones of these domains (UUID and its devices); libvirtError when the connection fails.

    Without `sources` it is asked whether their monitors answer.
    """
    answer = _ask_all(connection, domains, sources, clock)
    if Source.BLOCK_JOBS not in sources:
        return answer
    return replace(answer, jobs=_jobs(connection, domains, answer.read, clock))


def _ask_all(
    connection: Connection, domains: Mapping[str, Devices], sources: frozenset[Source], clock: Clock
) -> Answer:
    if connection.driver == QEMU:
        return _ask_bulk(connection, domains, sources, clock)
    seen = probe(connection, domains)
    read = {uuid: _ask_one(connection, uuid, domains[uuid], sources, clock) for uuid in seen.free}
    return Answer(seen.occupied, seen.free, read, clock.time(), clock.monotonic())


def _ask_bulk(
    connection: Connection, domains: Mapping[str, Devices], sources: frozenset[Source], clock: Clock
) -> Answer:
    occupied: dict[str, Occupied] = {}
    asked: Iterable[str] = domains
    if not sources <= _OF_THE_BULK_CALL:  # the calls for them wait for a monitor that another client is asking
        seen = probe(connection, domains)
        occupied, asked = dict(seen.occupied), seen.free
    try:
        stats = _bulk(connection, asked, _groups(sources) if sources else _CHEAPEST)
    except libvirt.libvirtError:
        if not connection.raw.isAlive():
            raise
        # One whose monitor is broken may cost all others their answers.
        seen = probe(connection, domains)
        occupied, asked = dict(seen.occupied), seen.free
        stats = _bulk(connection, asked, _groups(sources) if sources else libvirt.VIR_DOMAIN_STATS_BALLOON)
    read = {
        uuid: _read(found[0], found[1], domains[uuid], sources, clock)
        for uuid in asked
        if (found := stats.get(uuid)) is not None and _is_whole(sources, found[1])
    }
    # What another client asks now, or began to ask meanwhile, is answered in part: it is asked again, not taken whole.
    unsure = [uuid for uuid in asked if uuid not in read]
    seen = probe(connection, unsure)
    occupied.update(seen.occupied)
    occupied.update(dict.fromkeys(seen.free, Occupied(0.0)))
    return Answer(occupied, frozenset(read), read, clock.time(), clock.monotonic())


def _bulk(
    connection: Connection, uuids: Iterable[str], groups: int
) -> dict[str, tuple[libvirt.virDomain, Mapping[str, int | str]]]:
    if len(connection.domains) > _MOST_HANDLES:
        connection.domains.clear()
    handles: dict[str, libvirt.virDomain] = {}
    for uuid in uuids:
        try:
            handles[uuid] = connection.domains.setdefault(uuid, connection.domain(uuid))
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _GONE:
                raise
    if not groups:  # the call would ask for all that there is
        return {uuid: (domain, {}) for uuid, domain in handles.items()}
    found = connection.raw.domainListGetStats(list(handles.values()), groups, _FLAGS) if handles else []
    return {domain.UUIDString(): (domain, stats) for domain, stats in found}


def _groups(sources: frozenset[Source]) -> int:
    return sum(_GROUPS[source] for source in sources if source in _GROUPS)


def _read(
    domain: libvirt.virDomain,
    stats: Mapping[str, int | str],
    devices: Devices,
    sources: frozenset[Source],
    clock: Clock,
) -> dict[Source, dict[Series, float]]:
    read: dict[Source, dict[Series, float]] = {}
    if Source.BLOCK in sources:
        read[Source.BLOCK] = readings.block(stats, devices.volumes, devices.raw_volumes)
    if Source.BALLOON in sources:
        read[Source.BALLOON] = readings.balloon(stats, now=clock.time(), period=devices.stats_period)
    if Source.ERRORS in sources:
        _read_errors(domain, devices, read)
    _read_jobs(domain, stats, sources, read, clock)
    return read


def _read_errors(domain: libvirt.virDomain, devices: Devices, read: dict[Source, dict[Series, float]]) -> None:
    """Ask which disks have an error, while the VM is paused for one: QEMU before 9 shows it for ever after."""
    with _only_this_figure():
        stopped = domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR]
        read[Source.ERRORS] = readings.disk_errors(devices.disks, domain.diskErrors() if stopped else {})


def _read_jobs(
    domain: libvirt.virDomain,
    stats: Mapping[str, int | str],
    sources: frozenset[Source],
    read: dict[Source, dict[Series, float]],
    clock: Clock,
) -> None:
    wanted = sources & {Source.JOB, Source.DIRTY_RATE}
    if not wanted:
        return
    with _only_this_figure():
        job = domain.jobStats()
        out = job if job.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT else {}
        if Source.JOB in wanted:
            read[Source.JOB] = readings.migration(out)
        if Source.DIRTY_RATE in wanted:
            read[Source.DIRTY_RATE] = readings.dirty_rate(out, stats, now=clock.monotonic())


def _jobs(
    connection: Connection, domains: Mapping[str, Devices], uuids: Iterable[str], clock: Clock
) -> dict[str, JobsSeen]:
    found: dict[str, JobsSeen] = {}
    for uuid in uuids:
        with _only_this_figure():
            found[uuid] = read_jobs(connection.domain(uuid), domains[uuid].disks, at=clock.time())
    return found


def _is_whole(sources: frozenset[Source], stats: Mapping[str, int | str]) -> bool:
    """Return whether groups hold what QEMU was asked for: without its answer libvirt fills in what it knows itself."""
    if not sources:
        return "dirtyrate.calc_status" in stats or "balloon.last-update" in stats
    if Source.BALLOON in sources and "balloon.last-update" not in stats:
        return False
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
            stats = domain.memoryStats()
            if connection.driver == _LXC:
                stats.pop("swap_in", None)  # what it uses of memory and swap now: no count of what went in
            read[Source.BALLOON] = readings.memory_stats(
                stats, domain.info()[1], now=clock.time(), period=devices.stats_period
            )
    if Source.ERRORS in sources:
        _read_errors(domain, devices, read)
    _read_jobs(domain, {}, sources, read, clock)
    if Source.BLOCK in sources:
        values = read[Source.BLOCK] = {}
        for disk in devices.disks:
            with _only_this_figure():
                values |= readings.block_stats(
                    disk,
                    domain.blockStats(disk),
                    _sizes(domain, disk),
                    on_volume=disk in devices.volumes,
                    raw_volume=disk in devices.raw_volumes,
                )
    return read


def _sizes(domain: libvirt.virDomain, disk: str) -> tuple[int, ...]:
    """Return a disk's sizes, unknown ones where the driver (Xen's) counts requests and knows no sizes."""
    try:
        return tuple(domain.blockInfo(disk))
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return _UNKNOWN_SIZES


@contextmanager
def _only_this_figure() -> Iterator[None]:
    """Let a call that fails for its device (an empty drive) cost that device's figures alone."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() in _CONNECTION_LOST:
            raise
