"""What connections bring becomes observations: each domain that there is, its state, its turns, its process.

All on the collector's thread.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import libvirt

from virtwatch_agent.collect.kernel.reader import KernelReader
from virtwatch_agent.collect.libvirt import problems
from virtwatch_agent.collect.libvirt.call_pool import Call
from virtwatch_agent.collect.libvirt.call_queue import CallQueue
from virtwatch_agent.collect.libvirt.connection import QEMU
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.domain_tracker import LOST, DomainTracker
from virtwatch_agent.collect.libvirt.emitter import Emitter
from virtwatch_agent.collect.libvirt.endpoint import Endpoint, Runtime
from virtwatch_agent.collect.libvirt.endpoints import Endpoints
from virtwatch_agent.collect.libvirt.events import (
    DevicesEvent,
    LibvirtEvent,
    LifecycleEvent,
    MemoryPassEvent,
    Turn,
)
from virtwatch_agent.collect.libvirt.inspection import Inspection, Listing
from virtwatch_agent.collect.libvirt.jobs import JobsSeen
from virtwatch_agent.collect.libvirt.migrations import Migrations
from virtwatch_agent.collect.libvirt.relisting import Relisting
from virtwatch_agent.collect.libvirt.snapshots import Snapshots, read_snapshots
from virtwatch_agent.inventory.addresses import AddressKind
from virtwatch_agent.inventory.gaps import CRASHES, DomainView
from virtwatch_agent.inventory.oom import LOOK_EVERY_S
from virtwatch_agent.observations import Domain, DomainState, FoundStopped, Unwatched

_LOG = logging.getLogger(__name__)
# Seconds after which what a new connection showed is looked at again: a libvirt that has just started shows what it
# knew when it ended, and reports no event when it learns from QEMU what happened since.
_CONFIRM = (1.0, 5.0)
# Seconds in which libvirt reports why a domain is gone; one that has just started must notice it first.
_NOTICE = 5.0
# Seconds between looks whether a VM runs in two pods; when it starts again, its old QEMU and its new one may both be
# there for a few.
_OVERLAP = 30.0
_SNAPSHOTS_S = 15.0  # seconds between looks for snapshots
_SNAPSHOTS_TAKE_S = 0.5  # of them at most; over a slow link the other domains wait for the next look
_UNREAD_RETRY_S = 10.0  # until a domain whose process could not be read for want of descriptors is looked at again


@dataclass(frozen=True, slots=True)
class Attached:
    """Hold what a domain is sampled with; `started` is when its counters were 0, seconds since 1970."""

    endpoint: Endpoint
    devices: Devices
    reader: KernelReader | None
    started: float


class Domains:
    """Know the domains of all connections; `forget` is called for each that is gone or runs in a new QEMU."""

    def __init__(self, runtime: Runtime, forget: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._tracker = DomainTracker()
        self._attached: dict[tuple[str, str], Attached] = {}
        self._waiting: dict[tuple[Endpoint, str], list[Callable[[], None]]] = {}  # heard during an inspection
        self._doubted: set[tuple[Endpoint, str]] = set()  # listed, but without a process: looked at once more
        self._unread: set[tuple[Endpoint, str]] = set()
        self._snapshots = Snapshots()
        self._emitter = Emitter(runtime, forget, is_paused=self._is_paused)
        self._migrations = Migrations(runtime, self._tracker.counts)
        self.connections = Endpoints(runtime, self)
        self._relisting = Relisting(runtime, self.connections, self._listed_again)
        self._look_for_oom_kills()

    def find(self, uuid: str) -> tuple[Domain, Attached] | None:
        """Return a domain and what it is sampled with."""
        view = self._tracker.counted(uuid)
        attached = None if view is None else self._attached.get((view.domain.connection, uuid))
        return None if view is None or attached is None else (view.domain, attached)

    def reason(self, uuid: str) -> str:
        """Return what led to a domain's state, empty when nobody said."""
        connection = self._tracker.connection_of(uuid)
        view = None if connection is None else self._tracker.view(connection, uuid)
        return "" if view is None else view.reason

    def jobs_seen(self, uuid: str, seen: JobsSeen) -> None:
        """Take the jobs that a domain has."""
        self._emitter.jobs_seen(uuid, seen)

    def jobs_unasked(self, uuid: str) -> None:
        """Take that nobody asks whether a domain's jobs start."""
        self._emitter.jobs_unasked(uuid)

    def all(self) -> list[tuple[str, Attached]]:
        """Return the UUID of every domain and what it is sampled with."""
        return [(uuid, attached) for (_, uuid), attached in list(self._attached.items())]

    def look_again(self, endpoint: Endpoint, uuid: str) -> None:
        """Read a domain's devices and process again."""

        def looked(look: Inspection | None) -> None:
            known = self._tracker.view(endpoint.address.name, uuid)
            if look is None:
                self._runtime.timers.enter(_NOTICE, 0, self._gone_unnoticed, (endpoint, uuid, known))
            elif look.view != known:
                self._seen(endpoint, look)
            else:
                self._attach(endpoint, look)

        self._inspect(endpoint, uuid, looked, failed=lambda: None)

    def opened(self, endpoint: Endpoint, listing: Listing) -> None:
        """Take a new connection: compare what it shows with what was known."""
        self._emitter.tell(self._found_stopped(endpoint, listing))
        listed = self._drop_unlisted(endpoint, listing)
        for look in listing.inspections:
            self._seen(endpoint, look)
        if endpoint.calls is not None and endpoint.calls.connection.driver == QEMU:
            self._migrations.opened(endpoint, listed)
        self._look_for_snapshots(endpoint, endpoint.calls)
        self._relisting.opened(endpoint, endpoint.calls)
        for seconds in _CONFIRM:
            self._runtime.timers.enter(seconds, 0, self._confirm, (endpoint, endpoint.calls))

    def _listed_again(self, endpoint: Endpoint, listing: Listing) -> None:
        """Compare what there is with what was known, where no event says what happened."""
        self._drop_unlisted(endpoint, listing)
        for look in listing.inspections:
            if look.view == self._tracker.view(endpoint.address.name, look.view.domain.uuid):
                self._attach(endpoint, look)
            else:
                self._seen(endpoint, look)

    def _drop_unlisted(self, endpoint: Endpoint, listing: Listing) -> set[str]:
        """Drop the domains that are not there any more; return those that are."""
        listed = {look.view.domain.uuid for look in listing.inspections}
        for uuid in self._tracker.on(endpoint.address.name):
            if uuid not in listed:
                self._gone(endpoint, uuid, listing.stopped.get(uuid, LOST))
        return listed

    def received(self, endpoint: Endpoint, domain: libvirt.virDomain, received: LibvirtEvent, at: float) -> None:
        """Take an event, after those before it."""
        self._take_in_order(endpoint, domain.UUIDString(), partial(self._take, endpoint, domain, received, at))

    def lost(self, endpoint: Endpoint) -> None:
        """Take that a connection ended; its domains stay, the kernel still reports them."""
        for key in [key for key in self._waiting if key[0] is endpoint]:
            del self._waiting[key]  # the next listing will tell

    def unreachable(self, endpoint: Endpoint) -> bool:
        """Drop the domains of a pod whose processes have ended; return whether any is left.

        Elsewhere a daemon that comes back will tell why they stopped.
        """
        if endpoint.address.kind is AddressKind.POD:
            for uuid in self._tracker.on(endpoint.address.name):
                if not self._lives(endpoint, uuid):
                    self._gone(endpoint, uuid, LOST)
        return bool(self._tracker.on(endpoint.address.name))

    def gone(self, endpoint: Endpoint) -> None:
        """Drop the domains of a libvirt that is gone for good."""
        self.lost(endpoint)
        for uuid in self._tracker.on(endpoint.address.name):
            self._gone(endpoint, uuid, LOST)

    def close(self) -> None:
        """Close all connections and descriptors."""
        self.connections.close()
        for attached in self._attached.values():
            if attached.reader is not None:
                attached.reader.close()
        self._attached.clear()

    def _found_stopped(self, endpoint: Endpoint, listing: Listing) -> Iterator[FoundStopped]:
        """Return why domains that are not known here are not active: an agent that ran before may have known them."""
        for uuid, reason in listing.stopped.items():
            if self._tracker.view(endpoint.address.name, uuid) is None:
                yield FoundStopped(uuid, endpoint.address.name, reason, crashed=reason in CRASHES)

    def _take(self, endpoint: Endpoint, domain: libvirt.virDomain, received: LibvirtEvent, at: float) -> None:
        uuid = domain.UUIDString()
        match received:
            case LifecycleEvent(Turn.STARTED, reason):
                self._starting(endpoint, domain, reason, at)
            case LifecycleEvent(Turn.STOPPED, reason) if self._tracker.view(endpoint.address.name, uuid) is None:
                self._emitter.tell([FoundStopped(uuid, endpoint.address.name, reason, crashed=reason in CRASHES)])
            case LifecycleEvent():
                self._emitter.tell(self._tracker.received(endpoint.address.name, uuid, received, at=at))
                if received.turn is Turn.STOPPED:
                    self._detach(endpoint, uuid)
            case DevicesEvent():
                if self._tracker.counts(endpoint.address.name, uuid):
                    self._emitter.happened(uuid, received, self._devices(endpoint, uuid), at=at)
                self.look_again(endpoint, uuid)
            case MemoryPassEvent():
                self._migrations.passed(endpoint, uuid, at=at)
            case _ if self._tracker.counts(endpoint.address.name, uuid):
                self._emitter.happened(uuid, received, self._devices(endpoint, uuid), at=at)

    def _starting(self, endpoint: Endpoint, domain: libvirt.virDomain, reason: str, at: float) -> None:
        uuid, name = domain.UUIDString(), domain.name()
        if endpoint.calls is not None:
            endpoint.calls.connection.domains[uuid] = domain

        def started(look: Inspection | None) -> None:
            if look is None:  # it has stopped already: say that it was there all the same
                unseen = Domain(
                    uuid, name, endpoint.address.name, f"unseen-{at}", DomainState.RUNNING, endpoint.address.pod_uid
                )
                look = Inspection(DomainView(unseen, reason), Devices(), None)
            seen = self._attach(endpoint, look)
            self._emitter.tell(self._tracker.started(seen, reason, at=at))

        self._inspect(endpoint, uuid, started, failed=partial(started, None))

    def _inspect(
        self, endpoint: Endpoint, uuid: str, done: Callable[[Inspection | None], None], *, failed: Callable[[], None]
    ) -> None:
        calls = endpoint.calls
        if calls is None or (endpoint, uuid) in self._waiting:
            return
        waiting: list[Callable[[], None]] = []
        self._waiting[endpoint, uuid] = waiting

        def looked(tell: Callable[[], None]) -> None:
            del self._waiting[endpoint, uuid]
            tell()
            for take in waiting:
                self._take_in_order(endpoint, uuid, take)

        def answered(look: Inspection | None) -> None:
            self.connections.well(endpoint)
            looked(partial(done, look))

        calls.submit(
            Call(
                run=partial(endpoint.inspector.inspect, calls.connection, uuid),
                done=answered,
                failed=lambda _: looked(failed),
                overdue=partial(self.connections.suspect, endpoint),
            )
        )

    def _take_in_order(self, endpoint: Endpoint, uuid: str, take: Callable[[], None]) -> None:
        """Take an event now, or after the look that is under way."""
        waiting = self._waiting.get((endpoint, uuid))
        if waiting is None:
            take()
        else:
            waiting.append(take)

    def _seen(self, endpoint: Endpoint, look: Inspection) -> None:
        uuid = look.view.domain.uuid
        if look.dead and not self._lives(endpoint, uuid) and (endpoint, uuid) not in self._doubted:
            self._doubted.add((endpoint, uuid))
            self._runtime.timers.enter(_NOTICE, 0, self.look_again, (endpoint, uuid))
            return
        self._doubted.discard((endpoint, uuid))
        seen = self._attach(endpoint, look)
        self._emitter.tell(self._tracker.saw(seen, at=self._runtime.clock.time(), new=endpoint.watched_from_birth))

    def _attach(self, endpoint: Endpoint, look: Inspection) -> DomainView:
        """Keep what a domain is sampled with; return what was seen of it."""
        uuid = look.view.domain.uuid
        key = (endpoint.address.name, uuid)
        before, known = self._attached.get(key), self._tracker.view(*key)
        seen, reader = look.view, look.reader
        if known is not None and known.domain.incarnation == look.listed_as:
            # Its process was not found before; it has run all along.
            seen = replace(seen, domain=replace(seen.domain, incarnation=look.listed_as))
        if before is not None and before.reader is not None:
            if reader is None and known is not None and before.reader.alive():
                # /proc could not be read this time; the process that is known has not gone.
                reader = before.reader
                seen = replace(seen, domain=replace(seen.domain, incarnation=known.domain.incarnation))
            else:
                before.reader.close()
        same = known is not None and known.domain.incarnation == seen.domain.incarnation
        if known is not None and not same:
            self._emitter.forget(uuid)
        if reader is not None:
            started = reader.process.started
        else:
            started = before.started if before is not None and same else self._runtime.clock.time()
        if not same and endpoint.address.kind is AddressKind.POD:
            self._runtime.timers.enter(_OVERLAP, 0, self._beside_another, (endpoint, uuid, seen.domain.incarnation))
        devices = look.devices if look.devices is not None or before is None or not same else before.devices
        self._attached[key] = Attached(endpoint, devices or Devices(), reader, started)
        # What is read by the descriptors of before needs none.
        found_before = reader is not None and look.reader is None
        self._tell_unread(uuid, endpoint, "" if found_before and look.devices is not None else look.problem)
        return seen

    def _tell_unread(self, uuid: str, endpoint: Endpoint, problem: str) -> None:
        """Say that the kernel's figures of a domain cannot be read, or can again; look again while they cannot."""
        key = (endpoint, uuid)
        if not problem and key not in self._unread:
            return
        if not problem:
            self._unread.discard(key)
        elif key not in self._unread:
            self._unread.add(key)
            self._runtime.timers.enter(_UNREAD_RETRY_S, 0, self._read_again, key)
        at = self._runtime.clock.time()
        self._emitter.tell([Unwatched(uuid, f"{endpoint.address.name} kernel", at, problem)])

    def _read_again(self, endpoint: Endpoint, uuid: str) -> None:
        if (endpoint, uuid) in self._unread:
            self._runtime.timers.enter(_UNREAD_RETRY_S, 0, self._read_again, (endpoint, uuid))
            self.look_again(endpoint, uuid)

    def _beside_another(self, endpoint: Endpoint, uuid: str, incarnation: str) -> None:
        """See, as long as another pod's word counts for a VM, whether this pod's should, and say that it does not."""
        name = endpoint.address.name
        seen, found = self._tracker.view(name, uuid), self.find(uuid)
        if seen is None or seen.domain.incarnation != incarnation or found is None or self._tracker.counts(name, uuid):
            return
        self._runtime.timers.enter(_OVERLAP, 0, self._beside_another, (endpoint, uuid, incarnation))
        domain, other = found
        older = other.started < self._attached[name, uuid].started
        if older and other.endpoint.calls is None and self._tracker.doubled(name, uuid):
            _LOG.warning("%s", problems.left_behind(domain.name, str(domain.pod_uid), str(seen.domain.pod_uid)))
            self._gone(other.endpoint, uuid, LOST)
        else:
            self._emitter.tell(self._tracker.hidden(name, uuid, at=self._runtime.clock.time()))

    def _gone_unnoticed(self, endpoint: Endpoint, uuid: str, known: DomainView | None) -> None:
        if known is not None and self._tracker.view(endpoint.address.name, uuid) == known:
            self._gone(endpoint, uuid, LOST)

    def _lives(self, endpoint: Endpoint, uuid: str) -> bool:
        """Return whether a domain's process is there; one that has none here may well live elsewhere."""
        attached = self._attached.get((endpoint.address.name, uuid))
        return attached is not None and (attached.reader is None or attached.reader.alive())

    def _devices(self, endpoint: Endpoint, uuid: str) -> Devices:
        attached = self._attached.get((endpoint.address.name, uuid))
        return Devices() if attached is None else attached.devices

    def _is_paused(self, uuid: str) -> bool:
        found = self.find(uuid)
        return found is not None and found[0].state is DomainState.PAUSED

    def _look_for_snapshots(self, endpoint: Endpoint, calls: CallQueue | None) -> None:
        """Compare the snapshots that there are with those before: libvirt reports none. KubeVirt has its own."""
        if calls is None or endpoint.calls is not calls or endpoint.address.kind is AddressKind.POD:
            return
        there = self._tracker.on(endpoint.address.name)
        uuids = self._snapshots.in_turn(uuid for uuid in there if self._tracker.counts(endpoint.address.name, uuid))
        clock, had = self._runtime.clock, self._snapshots.had
        calls.submit(
            Call(
                run=lambda: read_snapshots(
                    calls.connection, uuids, had=had, until=clock.monotonic() + _SNAPSHOTS_TAKE_S, clock=clock
                ),
                done=self._snapshots_read,
                failed=lambda _: None,
            )
        )
        self._runtime.timers.enter(_SNAPSHOTS_S, 0, self._look_for_snapshots, (endpoint, calls))

    def _snapshots_read(self, found: Mapping[str, frozenset[str]]) -> None:
        at = self._runtime.clock.time()
        for uuid, names in found.items():
            self._emitter.tell(self._snapshots.seen(uuid, names, at=at))

    def _look_for_oom_kills(self) -> None:
        self._runtime.oom_kills.look()
        self._runtime.timers.enter(LOOK_EVERY_S, 0, self._look_for_oom_kills)

    def _confirm(self, endpoint: Endpoint, calls: CallQueue | None) -> None:
        if endpoint.calls is calls:
            for uuid in self._tracker.on(endpoint.address.name):
                self.look_again(endpoint, uuid)

    def _gone(self, endpoint: Endpoint, uuid: str, reason: str) -> None:
        self._detach(endpoint, uuid)
        at = self._runtime.clock.time()
        self._emitter.tell(self._tracker.gone(endpoint.address.name, uuid, reason, at=at, inferred=True))

    def _detach(self, endpoint: Endpoint, uuid: str) -> None:
        self._snapshots.forget(uuid)
        self._doubted.discard((endpoint, uuid))
        self._migrations.gone(endpoint, uuid)
        self._tell_unread(uuid, endpoint, "")
        attached = self._attached.pop((endpoint.address.name, uuid), None)
        if attached is not None and attached.reader is not None:
            attached.reader.close()
        if endpoint.calls is not None:
            endpoint.calls.connection.domains.pop(uuid, None)
