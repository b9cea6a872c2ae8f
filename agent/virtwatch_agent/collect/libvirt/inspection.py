"""Inspect domains: what is there, in which state, run by which process.

Monitor-free calls only; they run in the call pool.
"""

from collections import deque
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace

import libvirt

from virtwatch_agent.collect.kernel.reader import KernelReader, NetworkCounters, Nic, ProcessGoneError
from virtwatch_agent.collect.libvirt.connection import QEMU, Connection
from virtwatch_agent.collect.libvirt.devices import Devices, parse_devices
from virtwatch_agent.collect.libvirt.events import listed_state
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.inventory.gaps import LISTED, DomainView
from virtwatch_agent.inventory.processes import DescriptorsExhaustedError, ProcessTable
from virtwatch_agent.observations import Domain, DomainState
from virtwatch_agent.seams import Clock

_NO_XML = "its XML cannot be read, so it has no figures of its NICs and few of its disks: {} (see virsh dumpxml)"


@dataclass(frozen=True, slots=True)
class Inspection:
    """Hold what one look at a domain showed; `reader` is None where no process of this host runs it.

    `devices` is None where they could not be read. `dead` says that a process must run it and none does: libvirt has
    not noticed its end yet. `listed_as` is the incarnation by libvirt's own number; `problem` says which figures
    cannot be read, why, and what to do.
    """

    view: DomainView
    devices: Devices | None
    reader: KernelReader | None
    dead: bool = False
    listed_as: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """Hold what a connection shows: the active domains, and why each inactive one stopped."""

    inspections: tuple[Inspection, ...]
    stopped: Mapping[str, str]


_State = tuple[DomainState, str]  # and what led to it
_Listed = tuple[libvirt.virDomain, _State | None]  # None: not known yet


@dataclass(slots=True)
class ListingUnderWay:
    """Hold what was looked at so far, and what is left."""

    left: deque[_Listed]
    inspections: list[Inspection] = field(default_factory=list)
    stopped: dict[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> Listing:
        """Return what a connection shows, once nothing is left."""
        return Listing(tuple(self.inspections), self.stopped)


@dataclass(frozen=True, slots=True)
class Inspector:
    """Look through the connections of one address."""

    address: LibvirtAddress
    processes: ProcessTable
    counters: NetworkCounters
    macvtaps: Container[str]

    def begin(self, connection: Connection) -> "ListingUnderWay":
        """Find what there is to be looked at; libvirtError when the connection fails."""
        return ListingUnderWay(deque(_states(connection)))

    def go_on(self, connection: Connection, listing: "ListingUnderWay", *, until: float, clock: Clock) -> None:
        """Look at domains, as many as there is time for `until` then (monotonic seconds), but one.

        Raises:
            libvirtError: the connection fails.
        """
        while listing.left:
            self._take(connection, listing, *listing.left.popleft())
            if clock.monotonic() >= until:
                return

    def _take(
        self, connection: Connection, listing: "ListingUnderWay", domain: libvirt.virDomain, known: _State | None
    ) -> None:
        if (found := known or _state(domain)) is None:
            return  # it is gone
        state, reason = found
        if state is DomainState.STOPPED:
            listing.stopped[domain.UUIDString()] = reason
        elif (look := self._inspect_if_there(connection, domain, state, reason)) is not None:
            connection.domains[domain.UUIDString()] = domain
            listing.inspections.append(look)

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
        problems: list[str] = []
        try:
            devices = self._devices(connection, domain, problems)
            listed_as = f"{LISTED}{domain.ID()}"
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        uuid = domain.UUIDString()
        has_process = connection.local and connection.driver == QEMU
        reader = self._reader(uuid, devices, problems) if has_process else None
        known = Domain(
            uuid=uuid,
            name=domain.name(),
            connection=self.address.name,
            incarnation=listed_as if reader is None else reader.process.incarnation,
            state=state,
            pod_uid=self.address.pod_uid,
            disks=devices.places if devices is not None else (),
        )
        dead = has_process and reader is None and not problems and self.processes.usable
        problem = f"VM {domain.name()}: {'; '.join(problems)}" if problems else ""
        return Inspection(DomainView(known, reason), devices, reader, dead, listed_as, problem)

    @staticmethod
    def _devices(connection: Connection, domain: libvirt.virDomain, problems: list[str]) -> Devices | None:
        """Return a domain's devices; one whose XML cannot be read or is none costs its own figures."""
        try:
            return parse_devices(domain.XMLDesc(0))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN or not connection.raw.isAlive():
                raise
            problems.append(_NO_XML.format(error))
        except ValueError as error:
            problems.append(_NO_XML.format(error))
        return None

    def _reader(self, uuid: str, devices: Devices | None, problems: list[str]) -> KernelReader | None:
        try:
            process = self.processes.find(uuid, self.address.pod_uid)
            if process is None:
                return None
            nics = [self._as_it_is(nic) for nic in devices.nics] if devices is not None else []
            return KernelReader(process, nics, self.counters)
        except ProcessGoneError:
            return None
        except DescriptorsExhaustedError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"the kernel's files about it cannot be read, so it has no figures of the kernel: {error}")
        return None

    def _as_it_is(self, nic: Nic) -> Nic:
        """Return a NIC as its device is, whatever the XML calls it."""
        return replace(nic, host_view=True) if not nic.host_view and nic.interface in self.macvtaps else nic


def _states(connection: Connection) -> Iterator[_Listed]:
    """Yield every domain, with its state and the reason where the driver tells all by one call."""
    try:
        found = connection.raw.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
    else:
        for domain, stats in found:
            yield domain, listed_state(stats["state.state"], stats["state.reason"])
        return
    for domain in connection.raw.listAllDomains(0):
        yield domain, None


def _state(domain: libvirt.virDomain) -> _State | None:
    try:
        return listed_state(*domain.state())
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return None
