"""The expensive tier: figures that libvirt asks of the QEMU monitor, which a stuck guest never answers.

These functions run in the pool; monitor_queue.py decides when.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import libvirt

from virtwatch_agent.collect.libvirt import readings
from virtwatch_agent.collect.libvirt.connection import QEMU, Connection
from virtwatch_agent.observations import Series
from virtwatch_agent.seams import Clock
from virtwatch_api.catalogue.readings import Source

_GROUPS = {Source.BLOCK: libvirt.VIR_DOMAIN_STATS_BLOCK, Source.BALLOON: libvirt.VIR_DOMAIN_STATS_BALLOON}
# A domain whose monitor another client just asks (virt-launcher does so all the time) is left out, not waited for.
_FLAGS = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
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


def ask(
    connection: Connection, domains: Mapping[str, Sequence[str]], sources: frozenset[Source], clock: Clock
) -> Answer:
    """Ask the free ones of these domains (UUID and its disks); libvirtError when the connection fails."""
    seen = probe(connection, domains)
    if connection.driver == QEMU:
        read = _ask_bulk(connection, seen.free, sources, clock)
    else:
        read = {uuid: _ask_one(connection, uuid, domains[uuid], sources, clock) for uuid in seen.free}
    return Answer(seen.occupied, seen.free, read, clock.time(), clock.monotonic())


def _ask_bulk(
    connection: Connection, uuids: Iterable[str], sources: frozenset[Source], clock: Clock
) -> dict[str, dict[Source, dict[Series, float]]]:
    domains = [connection.domain(uuid) for uuid in uuids]
    if not domains:
        return {}
    groups = sum(_GROUPS[source] for source in sources)
    found = {}
    for domain, stats in connection.raw.domainListGetStats(domains, groups, _FLAGS):
        read = {}
        if Source.BLOCK in sources:
            read[Source.BLOCK] = readings.block(stats)
        if Source.BALLOON in sources:
            read[Source.BALLOON] = readings.balloon(stats, now=clock.time())
        found[domain.UUIDString()] = read
    return found


def _ask_one(
    connection: Connection, uuid: str, disks: Sequence[str], sources: frozenset[Source], clock: Clock
) -> dict[Source, dict[Series, float]]:
    """Ask a driver without bulk statistics (libvirt's test driver)."""
    domain = connection.domain(uuid)
    read: dict[Source, dict[Series, float]] = {}
    try:
        if Source.BALLOON in sources:
            read[Source.BALLOON] = readings.memory_stats(domain.memoryStats(), domain.info()[1], now=clock.time())
        if Source.BLOCK in sources:
            read[Source.BLOCK] = {}
            for disk in disks:
                read[Source.BLOCK] |= readings.block_stats(disk, domain.blockStats(disk), domain.blockInfo(disk))
    except libvirt.libvirtError as error:
        if error.get_error_code() not in _GONE:
            raise
    return read
