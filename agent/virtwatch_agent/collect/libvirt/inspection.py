"""Inspect domains: what is there, in which state, run by which process.

Monitor-free calls only; they run in the call pool.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import libvirt

from virtwatch_agent.collect.kernel.reader import KernelReader, NetworkCounters, ProcessGoneError
from virtwatch_agent.collect.libvirt.connection import QEMU, Connection
from virtwatch_agent.collect.libvirt.devices import Devices, parse_devices
from virtwatch_agent.collect.libvirt.domain_tracker import DomainView
from virtwatch_agent.collect.libvirt.events import listed_state
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.inventory.gaps import LISTED
from virtwatch_agent.inventory.processes import DescriptorsExhaustedError, ProcessTable
from virtwatch_agent.observations import Domain, DomainState


@dataclass(frozen=True, slots=True)
class Inspection:
    """Hold what one look at a domain showed; `reader` is None where no process of this host runs it.

    `dead` says that a process must run it and none does: libvirt has not noticed its end yet. `listed_as` is the
    incarnation by libvirt's own number; `problem` says why the kernel's figures cannot be read, and what to do.
    """

    view: DomainView
    devices: Devices
    reader: KernelReader | None
    dead: bool = False
    listed_as: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """Hold what a connection shows: the active domains, and why each inactive one stopped."""

    inspections: tuple[Inspection, ...]
    stopped: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Inspector:
    """Look through the connections of one address."""

    address: LibvirtAddress
    processes: ProcessTable
    counters: NetworkCounters

    def list_all(self, connection: Connection) -> Listing:
        """Look at every domain; libvirtError when the connection fails."""
        inspections, stopped = [], {}
        for domain, stats in connection.raw.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0):
            state, reason = listed_state(stats["state.state"], stats["state.reason"])
            if state is DomainState.STOPPED:
                stopped[domain.UUIDString()] = reason
            elif (look := self._inspect_if_there(connection, domain, state, reason)) is not None:
                connection.domains[domain.UUIDString()] = domain
                inspections.append(look)
        return Listing(tuple(inspections), stopped)

    def inspect(self, connection: Connection, uuid: str) -> Inspection | None:
        """Look at one domain again; None when it is gone."""
        try:
            domain = connection.domain(uuid)
            state, reason = listed_state(*domain.state())
            return None if state is DomainState.STOPPED else self._inspect_if_there(connection, domain, state, reason)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def _inspect_if_there(
        self, connection: Connection, domain: libvirt.virDomain, state: DomainState, reason: str
    ) -> Inspection | None:
        try:
            devices = parse_devices(domain.XMLDesc(0))
            listed_as = f"{LISTED}{domain.ID()}"
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        uuid = domain.UUIDString()
        has_process = connection.local and connection.driver == QEMU
        reader, problem = None, ""
        if has_process:
            try:
                reader = self._reader(uuid, devices)
            except DescriptorsExhaustedError as error:
                problem = f"VM {domain.name()}: {error}"
        known = Domain(
            uuid=uuid,
            name=domain.name(),
            connection=self.address.name,
            incarnation=listed_as if reader is None else reader.process.incarnation,
            state=state,
            pod_uid=self.address.pod_uid,
        )
        dead = has_process and reader is None and not problem and self.processes.usable
        return Inspection(DomainView(known, reason), devices, reader, dead, listed_as, problem)

    def _reader(self, uuid: str, devices: Devices) -> KernelReader | None:
        process = self.processes.find(uuid, self.address.pod_uid)
        try:
            return None if process is None else KernelReader(process, devices.nics, self.counters)
        except ProcessGoneError:
            return None
