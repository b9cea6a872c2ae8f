# What connections bring becomes observations: each domain that there is, its state, its turns, its process. All on the
# collector's thread.
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import libvirt

from virtwatch_agent.collect import problems
from virtwatch_agent.collect.connections import Connections
from virtwatch_agent.collect.devices import Devices
from virtwatch_agent.collect.events import (
    CRASHES,
    DevicesHeard,
    Heard,
    LifecycleHeard,
    Turn,
)
from virtwatch_agent.collect.kernel import KernelReader
from virtwatch_agent.collect.line import Line
from virtwatch_agent.collect.look import Listing, Look
from virtwatch_agent.collect.peer import Means, Peer
from virtwatch_agent.collect.pool import Call
from virtwatch_agent.collect.sightings import LOST, Sighting, Sightings
from virtwatch_agent.collect.telling import Teller
from virtwatch_agent.discovery.targets import TargetKind
from virtwatch_agent.observations import Domain, DomainState, FoundStopped

_LOG = logging.getLogger(__name__)
# Seconds after which what a new connection showed is looked at again: a libvirt that has just started shows what it
# knew when it ended, and tells no event when it learns from QEMU what happened since.
_CONFIRM = (1.0, 5.0)
# Seconds in which libvirt tells why a domain is gone; one that has just started must notice it first.
_NOTICE = 5.0
# Seconds between looks whether a VM runs in two pods; when it starts again, its old QEMU and its new one may both be
# there for a few.
_OVERLAP = 30.0


@dataclass(frozen=True, slots=True)
class Attached:
    """Hold what a domain is sampled with; `started` is when its counters were 0, seconds since 1970."""

    peer: Peer
    devices: Devices
    reader: KernelReader | None
    started: float


class Domains:
    """Know the domains of all connections; `forget` is told of those that are gone or run in a new QEMU."""

    def __init__(self, means: Means, forget: Callable[[str], None]) -> None:
        self._means = means
        self._sightings = Sightings()
        self._attached: dict[tuple[str, str], Attached] = {}
        self._waiting: dict[tuple[Peer, str], list[Callable[[], None]]] = {}  # what was heard while a look is under way
        self._doubted: set[tuple[Peer, str]] = set()  # listed, but without a process: looked at once more
        self._teller = Teller(means, forget, is_paused=self._is_paused)
        self.connections = Connections(means, self)

    def find(self, uuid: str) -> tuple[Domain, Attached] | None:
        """Return a domain and what it is sampled with."""
        connection = self._sightings.connection_of(uuid)
        if connection is None:
            return None
        sighting = self._sightings.sighting(connection, uuid)
        attached = self._attached.get((connection, uuid))
        return None if sighting is None or attached is None else (sighting.domain, attached)

    def all(self) -> list[tuple[str, Attached]]:
        """Return the UUID of every domain and what it is sampled with."""
        return [(uuid, attached) for (_, uuid), attached in self._attached.items()]

    def look_again(self, peer: Peer, uuid: str) -> None:
        """Read a domain's devices and process anew."""

        def looked(look: Look | None) -> None:
            known = self._sightings.sighting(peer.target.name, uuid)
            if look is None:
                self._means.timers.enter(_NOTICE, 0, self._gone_unheard, (peer, uuid, known))
            elif look.sighting != known:
                self._seen(peer, look)
            else:
                self._attach(peer, look)

        self._look(peer, uuid, looked, failed=lambda: None)

    def opened(self, peer: Peer, listing: Listing) -> None:
        """Take a new connection: compare what it shows with what was known."""
        listed = {look.sighting.domain.uuid for look in listing.looks}
        self._teller.tell(self._found_stopped(peer, listing))
        for uuid in self._sightings.on(peer.target.name):
            if uuid not in listed:
                self._gone(peer, uuid, listing.stopped.get(uuid, LOST))
        for look in listing.looks:
            self._seen(peer, look)
        for seconds in _CONFIRM:
            self._means.timers.enter(seconds, 0, self._confirm, (peer, peer.line))

    def heard(self, peer: Peer, domain: libvirt.virDomain, heard: Heard, at: float) -> None:
        """Take an event, after those before it."""
        self._take_in_order(peer, domain.UUIDString(), partial(self._take, peer, domain, heard, at))

    def lost(self, peer: Peer) -> None:
        """Take that a connection ended; its domains stay, the kernel still tells of them."""
        for key in [key for key in self._waiting if key[0] is peer]:
            del self._waiting[key]  # the next listing will tell

    def unreachable(self, peer: Peer) -> bool:
        """Drop the domains of a pod whose processes have ended; tell whether any is left.

        Elsewhere a daemon that comes back will tell why they stopped.
        """
        if peer.target.kind is TargetKind.POD:
            for uuid in self._sightings.on(peer.target.name):
                if not self._lives(peer, uuid):
                    self._gone(peer, uuid, LOST)
        return bool(self._sightings.on(peer.target.name))

    def gone(self, peer: Peer) -> None:
        """Drop the domains of a libvirt that is gone for good."""
        self.lost(peer)
        for uuid in self._sightings.on(peer.target.name):
            self._gone(peer, uuid, LOST)

    def close(self) -> None:
        """Close all connections and descriptors."""
        self.connections.close()
        for attached in self._attached.values():
            if attached.reader is not None:
                attached.reader.close()
        self._attached.clear()

    def _found_stopped(self, peer: Peer, listing: Listing) -> Iterator[FoundStopped]:
        """Tell why domains that are not known here are not active: an agent that ran before may have known them."""
        for uuid, reason in listing.stopped.items():
            if self._sightings.sighting(peer.target.name, uuid) is None:
                yield FoundStopped(uuid, peer.target.name, reason, crashed=reason in CRASHES)

    def _take(self, peer: Peer, domain: libvirt.virDomain, heard: Heard, at: float) -> None:
        uuid = domain.UUIDString()
        match heard:
            case LifecycleHeard(Turn.STARTED, reason):
                self._starting(peer, domain, reason, at)
            case LifecycleHeard(Turn.STOPPED, reason) if self._sightings.sighting(peer.target.name, uuid) is None:
                self._teller.tell([FoundStopped(uuid, peer.target.name, reason, crashed=reason in CRASHES)])
            case LifecycleHeard():
                self._teller.tell(self._sightings.heard(peer.target.name, uuid, heard, at=at))
                if heard.turn is Turn.STOPPED:
                    self._detach(peer, uuid)
            case DevicesHeard():
                self.look_again(peer, uuid)
            case _ if self._sightings.counts(peer.target.name, uuid):
                self._teller.happened(uuid, heard, self._devices(peer, uuid), at=at)

    def _starting(self, peer: Peer, domain: libvirt.virDomain, reason: str, at: float) -> None:
        uuid, name = domain.UUIDString(), domain.name()
        if peer.line is not None:
            peer.line.link.domains[uuid] = domain

        def started(look: Look | None) -> None:
            if look is None:  # it has stopped already: say that it was there all the same
                unseen = Domain(uuid, name, peer.target.name, f"unseen-{at}", DomainState.RUNNING, peer.target.pod_uid)
                look = Look(Sighting(unseen, reason), Devices(), None)
            seen = self._attach(peer, look)
            self._teller.tell(self._sightings.started(seen, reason, at=at))

        self._look(peer, uuid, started, failed=partial(started, None))

    def _look(self, peer: Peer, uuid: str, done: Callable[[Look | None], None], *, failed: Callable[[], None]) -> None:
        line = peer.line
        if line is None or (peer, uuid) in self._waiting:
            return
        waiting: list[Callable[[], None]] = []
        self._waiting[peer, uuid] = waiting

        def looked(tell: Callable[[], None]) -> None:
            del self._waiting[peer, uuid]
            tell()
            for take in waiting:
                self._take_in_order(peer, uuid, take)

        def answered(look: Look | None) -> None:
            self.connections.well(peer)
            looked(partial(done, look))

        line.submit(
            Call(
                run=partial(peer.viewer.look, line.link, uuid),
                done=answered,
                failed=lambda _: looked(failed),
                overdue=partial(self.connections.suspect, peer),
            )
        )

    def _take_in_order(self, peer: Peer, uuid: str, take: Callable[[], None]) -> None:
        """Take an event now, or after the look that is under way."""
        waiting = self._waiting.get((peer, uuid))
        if waiting is None:
            take()
        else:
            waiting.append(take)

    def _seen(self, peer: Peer, look: Look) -> None:
        uuid = look.sighting.domain.uuid
        if look.dead and not self._lives(peer, uuid) and (peer, uuid) not in self._doubted:
            self._doubted.add((peer, uuid))
            self._means.timers.enter(_NOTICE, 0, self.look_again, (peer, uuid))
            return
        self._doubted.discard((peer, uuid))
        seen = self._attach(peer, look)
        self._teller.tell(self._sightings.saw(seen, at=self._means.clock.time(), new=peer.watched_from_birth))

    def _attach(self, peer: Peer, look: Look) -> Sighting:
        """Keep what a domain is sampled with; return what was seen of it."""
        uuid = look.sighting.domain.uuid
        key = (peer.target.name, uuid)
        before, known = self._attached.get(key), self._sightings.sighting(*key)
        seen, reader = look.sighting, look.reader
        if before is not None and before.reader is not None:
            if reader is None and known is not None and before.reader.alive():
                # /proc could not be read this time; the process that is known has not gone.
                reader = before.reader
                seen = replace(seen, domain=replace(seen.domain, incarnation=known.domain.incarnation))
            else:
                before.reader.close()
        same = known is not None and known.domain.incarnation == seen.domain.incarnation
        if known is not None and not same:
            self._teller.forget(uuid)
        if reader is not None:
            started = reader.process.started
        else:
            started = before.started if before is not None and same else self._means.clock.time()
        if not same and peer.target.kind is TargetKind.POD:
            self._means.timers.enter(_OVERLAP, 0, self._beside_another, (peer, uuid, seen.domain.incarnation))
        self._attached[key] = Attached(peer, look.devices, reader, started)
        return seen

    def _beside_another(self, peer: Peer, uuid: str, incarnation: str) -> None:
        """See, as long as another pod's word counts for a VM, whether this pod's should, and say that it does not."""
        name = peer.target.name
        seen, found = self._sightings.sighting(name, uuid), self.find(uuid)
        if (
            seen is None
            or seen.domain.incarnation != incarnation
            or found is None
            or self._sightings.counts(name, uuid)
        ):
            return
        self._means.timers.enter(_OVERLAP, 0, self._beside_another, (peer, uuid, incarnation))
        domain, other = found
        older = other.started < self._attached[name, uuid].started
        if older and other.peer.line is None and self._sightings.doubled(name, uuid):
            _LOG.warning("%s", problems.left_behind(domain.name, str(domain.pod_uid), str(seen.domain.pod_uid)))
            self._gone(other.peer, uuid, LOST)
        else:
            self._teller.tell(self._sightings.hidden(name, uuid, at=self._means.clock.time()))

    def _gone_unheard(self, peer: Peer, uuid: str, known: Sighting | None) -> None:
        if known is not None and self._sightings.sighting(peer.target.name, uuid) == known:
            self._gone(peer, uuid, LOST)

    def _lives(self, peer: Peer, uuid: str) -> bool:
        """Tell whether a domain's process is there; one that has none here may well live elsewhere."""
        attached = self._attached.get((peer.target.name, uuid))
        return attached is not None and (attached.reader is None or attached.reader.alive())

    def _devices(self, peer: Peer, uuid: str) -> Devices:
        attached = self._attached.get((peer.target.name, uuid))
        return Devices() if attached is None else attached.devices

    def _is_paused(self, uuid: str) -> bool:
        found = self.find(uuid)
        return found is not None and found[0].state is DomainState.PAUSED

    def _confirm(self, peer: Peer, line: Line | None) -> None:
        if peer.line is line:
            for uuid in self._sightings.on(peer.target.name):
                self.look_again(peer, uuid)

    def _gone(self, peer: Peer, uuid: str, reason: str) -> None:
        self._detach(peer, uuid)
        at = self._means.clock.time()
        self._teller.tell(self._sightings.gone(peer.target.name, uuid, reason, at=at, inferred=True))

    def _detach(self, peer: Peer, uuid: str) -> None:
        self._doubted.discard((peer, uuid))
        attached = self._attached.pop((peer.target.name, uuid), None)
        if attached is not None and attached.reader is not None:
            attached.reader.close()
        if peer.line is not None:
            peer.line.link.domains.pop(uuid, None)
