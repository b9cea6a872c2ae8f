"""The cheap tier where no process of this host runs the domain (libvirt's test driver, a remote libvirt).

The calls that never ask a monitor. They run in the pool.
"""

from collections.abc import Iterable

import libvirt

from virtwatch_agent.collect.libvirt import readings
from virtwatch_agent.collect.libvirt.connection import Connection
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.observations import Series

_TEST = "TEST"
_OFFLINE = libvirt.VIR_VCPU_OFFLINE


def read_cheaply(connection: Connection, domains: Iterable[tuple[str, Devices]]) -> dict[str, dict[Series, float]]:
    """Return readings by UUID; a domain that is gone, or cannot be read, is left out.

    Raises:
        libvirtError: none can be read.
    """
    found, failed = {}, None
    for uuid, devices in domains:
        try:
            found[uuid] = _read(connection, connection.domain(uuid), devices)
        except libvirt.libvirtError as error:
            if not connection.raw.isAlive():
                raise
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                failed = error
    if failed is not None and not found:
        raise failed
    return found


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
    if connection.driver == _TEST:
        # Its vCPUs all show one time; the domain's total moves.
        _, _, _, count, time = domain.info()
        return readings.vcpu_times(dict.fromkeys(range(count), time // count))
    return readings.vcpu_times({number: time for number, state, time, _ in domain.vcpus()[0] if state != _OFFLINE})
