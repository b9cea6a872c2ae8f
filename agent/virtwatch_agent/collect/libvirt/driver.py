"""The cheap tier where no process of this host runs the domain (libvirt's test driver, a remote libvirt).

The calls that never ask a monitor. They run in the pool.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import libvirt

from virtwatch_agent.collect.libvirt import readings
from virtwatch_agent.collect.libvirt.connection import QEMU, Connection
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.observations import Series
from virtwatch_agent.seams import Clock

_TEST = "TEST"
_OFFLINE = libvirt.VIR_VCPU_OFFLINE


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold the readings of a call by UUID, and the domains that it had no time for."""

    readings: dict[str, dict[Series, float]]
    rest: Sequence[tuple[str, Devices]]


def read_cheaply(
    connection: Connection, domains: Sequence[tuple[str, Devices]], *, until: float, clock: Clock
) -> Batch:
    """Return readings of domains, as many as there is time for `until` then (monotonic seconds), but one.

    A domain that is gone, or cannot be read, is left out.

    Raises:
        libvirtError: none can be read.
    """
    found: dict[str, dict[Series, float]] = {}
    failed = None
    for number, (uuid, devices) in enumerate(domains):
        if number and clock.monotonic() >= until:
            return Batch(found, domains[number:])
        try:
            domain = connection.domain(uuid)
            found[uuid] = _read(connection, domain, devices)
            if connection.lacks is None:  # QEMU offers all, and what tries it would ask a monitor
                connection.lacks = () if connection.driver == QEMU else lacking(domain, devices)
        except libvirt.libvirtError as error:
            if not connection.raw.isAlive():
                raise
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                failed = error
    if failed is not None and not found:
        raise failed
    return Batch(found, ())


def lacking(domain: libvirt.virDomain, devices: Devices) -> tuple[str, ...]:
    """Name the figures that a driver does not offer, by trying each call on one domain."""
    disk, nic = devices.disks[:1], [nic.interface for nic in devices.nics[:1]]
    calls: dict[str, Callable[[], object]] = {
        "CPU times of each vCPU": domain.vcpus,
        "the guest's memory": domain.memoryStats,
        "disk operations": lambda: [domain.blockStats(name) for name in disk],
        "disk sizes": lambda: [domain.blockInfo(name) for name in disk],
        "NIC counters": lambda: [domain.interfaceStats(name) for name in nic],
    }
    return tuple(figures for figures, call in calls.items() if not _offers(call))


def _offers(call: Callable[[], object]) -> bool:
    try:
        call()
    except libvirt.libvirtError as error:
        return bool(error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT)
    return True


def _read(connection: Connection, domain: libvirt.virDomain, devices: Devices) -> dict[Series, float]:
    values = _cpu(connection, domain)
    for nic in devices.nics:
        try:
            stats = domain.interfaceStats(nic.interface)
        except libvirt.libvirtError:
            continue  # this kind of NIC has no counters (user, vhost-user): absent
        values |= readings.interface_stats(nic.interface, stats)
    return values


def _cpu(connection: Connection, domain: libvirt.virDomain) -> dict[Series, float]:
    if connection.driver != _TEST:  # whose vCPUs all show one time; the domain's total moves
        try:
            vcpus = domain.vcpus()[0]
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
        else:
            return readings.vcpu_times({number: time for number, state, time, _ in vcpus if state != _OFFLINE})
    _, _, _, count, time = domain.info()
    if not count:
        return {}
    # Some drivers know no time and say 0.
    return readings.vcpu_times(dict.fromkeys(range(count), time // count) if time else {}, count=count)
