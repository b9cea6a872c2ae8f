# Look at domains: what is there, in which state, run by which process. Monitor-free calls only; they run in the pool.
from collections.abc import Mapping
from dataclasses import dataclass

import libvirt

from virtwatch_agent.collect.devices import Devices, parse_devices
from virtwatch_agent.collect.events import listed_state
from virtwatch_agent.collect.kernel import KernelReader, NetworkCounters, ProcessGoneError
from virtwatch_agent.collect.link import QEMU, Link
from virtwatch_agent.collect.sightings import Sighting
from virtwatch_agent.discovery.processes import ProcessTable
from virtwatch_agent.discovery.targets import Target
from virtwatch_agent.observations import Domain, DomainState


@dataclass(frozen=True, slots=True)
class Look:
    """Hold what one look at a domain showed; `reader` is None where no process of this host runs it.

    `dead` says that a process must run it and none does: libvirt has not noticed its end yet.
    """

    sighting: Sighting
    devices: Devices
    reader: KernelReader | None
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Hold what a connection shows: the active domains, and why each inactive one stopped."""

    looks: tuple[Look, ...]
    stopped: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Look through the connections of one target."""

    target: Target
    processes: ProcessTable
    counters: NetworkCounters

    def list_all(self, link: Link) -> Listing:
        """Look at every domain; libvirtError when the connection fails."""
        looks, stopped = [], {}
        for domain, stats in link.connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0):
            state, reason = listed_state(stats["state.state"], stats["state.reason"])
            if state is DomainState.STOPPED:
                stopped[domain.UUIDString()] = reason
            elif (look := self._look_if_there(link, domain, state, reason)) is not None:
                link.domains[domain.UUIDString()] = domain
                looks.append(look)
        return Listing(tuple(looks), stopped)

    def look(self, link: Link, uuid: str) -> Look | None:
        """Look at one domain again; None when it is gone."""
        try:
            domain = link.domain(uuid)
            state, reason = listed_state(*domain.state())
            return None if state is DomainState.STOPPED else self._look_if_there(link, domain, state, reason)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def _look_if_there(self, link: Link, domain: libvirt.virDomain, state: DomainState, reason: str) -> Look | None:
        try:
            devices = parse_devices(domain.XMLDesc(0))
            incarnation = f"id-{domain.ID()}"
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        uuid = domain.UUIDString()
        has_process = link.local and link.driver == QEMU
        reader = self._reader(uuid, devices) if has_process else None
        known = Domain(
            uuid=uuid,
            name=domain.name(),
            connection=self.target.name,
            incarnation=incarnation if reader is None else reader.process.incarnation,
            state=state,
            pod_uid=self.target.pod_uid,
        )
        dead = has_process and reader is None and self.processes.usable
        return Look(Sighting(known, reason), devices, reader, dead)

    def _reader(self, uuid: str, devices: Devices) -> KernelReader | None:
        process = self.processes.find(uuid, self.target.pod_uid)
        try:
            return None if process is None else KernelReader(process, devices.nics, self.counters)
        except ProcessGoneError:
            return None
