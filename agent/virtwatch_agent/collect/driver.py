# The cheap tier where no process of this host runs the domain (libvirt's test driver, a remote libvirt): the calls that
# never ask a monitor. They run in the pool.
from collections.abc import Iterable

import libvirt

from virtwatch_agent.collect import readings
from virtwatch_agent.collect.devices import Devices
from virtwatch_agent.collect.link import Link
from virtwatch_agent.observations import Series

_TEST = "TEST"


def read_cheaply(link: Link, domains: Iterable[tuple[str, Devices]]) -> dict[str, dict[Series, float]]:
    """Return readings by UUID; a domain that is gone is left out."""
    found = {}
    for uuid, devices in domains:
        try:
            found[uuid] = _read(link, link.domain(uuid), devices)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                raise
    return found


def _read(link: Link, domain: libvirt.virDomain, devices: Devices) -> dict[Series, float]:
    values = _cpu(link, domain)
    for nic in devices.nics:
        try:
            stats = domain.interfaceStats(nic.interface)
        except libvirt.libvirtError:
            continue  # this kind of NIC has no counters (user, vhost-user): absent
        values |= readings.interface_stats(nic.interface, stats)
    return values


def _cpu(link: Link, domain: libvirt.virDomain) -> dict[Series, float]:
    if link.driver == _TEST:
        # Its vCPUs all show one time; the domain's total moves.
        _, _, _, count, time = domain.info()
        return {**readings.vcpu_times([time]), ("cpu.count", ""): float(count)}
    return readings.vcpu_times([time for _, _, time, _ in domain.vcpus()[0]])
