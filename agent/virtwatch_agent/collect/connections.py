# Connections come and go: opened when a socket appears, opened again with back-off when they are lost, given up when
# their pod is gone. All on the collector's thread; what blocks runs in the pool.
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import libvirt

from virtwatch_agent.collect import problems
from virtwatch_agent.collect.events import Heard
from virtwatch_agent.collect.kernel import NetworkCounters
from virtwatch_agent.collect.line import Line
from virtwatch_agent.collect.link import Ears, Link
from virtwatch_agent.collect.look import Listing, Viewer
from virtwatch_agent.collect.peer import Means, Peer
from virtwatch_agent.collect.pool import Call
from virtwatch_agent.discovery.targets import Target, TargetKind
from virtwatch_agent.observations import ConnectionState

_LOG = logging.getLogger(__name__)
_FIRST_RETRY = 0.1  # seconds; a daemon is often back within this
_LAST_RETRY = 10.0
# Seconds in which the end of a pod and of its virtqemud alone look the same; then QEMU is gone, or it is trouble.
_POD_ENDS = 1.0
_QUIET_RETRY = 30.0  # seconds; for the socket of an ended pod, which stays as long as the pod is kept


class Listener(Protocol):
    """Take what connections bring."""

    def opened(self, peer: Peer, listing: Listing) -> None:
        """Take a new connection and what it shows."""
        ...

    def heard(self, peer: Peer, domain: libvirt.virDomain, heard: Heard, at: float) -> None:
        """Take an event of a domain; `at` is seconds since 1970."""
        ...

    def lost(self, peer: Peer) -> None:
        """Take that the connection has ended; its domains may well live on."""
        ...

    def unreachable(self, peer: Peer) -> bool:
        """Take that opening failed; tell whether any domain of the peer still lives."""
        ...

    def gone(self, peer: Peer) -> None:
        """Take that a peer is gone for good, with its domains."""
        ...


class Connections:
    """Keep one connection to each target that there is."""

    def __init__(self, means: Means, listener: Listener) -> None:
        self._means = means
        self._listener = listener
        self._peers: dict[Target, Peer] = {}
        self._looked = False

    def update(self, targets: frozenset[Target]) -> None:
        """Take the targets that there are now; told again when a socket was made anew."""
        for target in targets:
            peer = self._peers.get(target)
            if peer is None:
                viewer = Viewer(target, self._means.processes, NetworkCounters())
                peer = self._peers[target] = Peer(target, viewer, new=self._looked)
            self._open(peer)
        for target in self._peers.keys() - targets:
            if not target.folder_exists:
                self._give_up(self._peers[target])
        self._looked = True

    def suspect(self, peer: Peer) -> None:
        """Take that calls on the connection do not return."""
        self._trouble(peer, problems.silent(peer.target))

    def well(self, peer: Peer) -> None:
        """Take that calls on the connection return."""
        if peer.line is not None and peer.problem:
            self._recovered(peer, "it answers again")

    def close(self) -> None:
        """Close every connection."""
        for peer in self._peers.values():
            peer.given_up = True
            self._drop_line(peer)

    def _open(self, peer: Peer) -> None:
        self._cancel_retry(peer)
        if peer.attempt is not None or peer.given_up:
            return  # one attempt that hangs is enough: it ends when the daemon goes on or dies
        attempt = peer.attempt = _Attempt(self, peer, self._means)
        self._means.pool.submit(
            Call(
                run=attempt.run,
                done=partial(self._opened, peer, attempt),
                failed=partial(self._failed, peer),
                overdue=partial(self.suspect, peer),
            )
        )

    def _opened(self, peer: Peer, attempt: "_Attempt", opened: tuple[Link, Listing]) -> None:
        link, listing = opened
        peer.line = Line(link, self._means.pool)
        if peer.given_up:
            self._drop_line(peer)
            return
        self._recovered(peer, f"{len(listing.looks)} running VMs")
        peer.failing_since, peer.told_closed = None, False
        self._listener.opened(peer, listing)
        peer.connected_before = True
        attempt.flush()

    def _failed(self, peer: Peer, error: Exception) -> None:
        peer.attempt = None
        if peer.given_up:
            return
        living = self._listener.unreachable(peer)
        if peer.target.kind is TargetKind.POD and not peer.target.folder_exists:
            self._give_up(peer)
        elif peer.target.kind is TargetKind.POD and not living and problems.nobody_there(error):
            self._close_quietly(peer)
            self._retry(peer, _QUIET_RETRY)
        else:
            self._still_failing(peer, error)

    def _still_failing(self, peer: Peer, error: Exception) -> None:
        now = self._means.clock.monotonic()
        if peer.failing_since is None:
            peer.failing_since = now
        failing = now - peer.failing_since
        if peer.target.kind is not TargetKind.POD or failing >= _POD_ENDS:
            self._trouble(peer, problems.not_opened(peer.target, error))
        self._retry(peer, min(_LAST_RETRY, max(_FIRST_RETRY, failing)))

    def ended(self, peer: Peer, reason: str) -> None:
        """Take the end of the connection that is open."""
        self._drop_line(peer)
        if peer.given_up:
            return
        peer.failing_since = self._means.clock.monotonic()
        self._listener.lost(peer)
        if peer.target.kind is not TargetKind.POD:
            self._trouble(peer, problems.lost(peer.target, reason))
        self._retry(peer, _FIRST_RETRY)

    def heard(self, peer: Peer, domain: libvirt.virDomain, heard: Heard, at: float) -> None:
        """Take an event of the connection that is open."""
        if not peer.given_up:
            self._listener.heard(peer, domain, heard, at)

    def _drop_line(self, peer: Peer) -> None:
        line, peer.line, peer.attempt = peer.line, None, None
        lanes, peer.lanes, peer.reading = peer.lanes, None, False
        if lanes is not None:
            lanes.close()
        if line is not None:
            line.close()

    def _give_up(self, peer: Peer) -> None:
        peer.given_up = True
        self._cancel_retry(peer)
        self._listener.gone(peer)
        self._drop_line(peer)
        self._close_quietly(peer)
        del self._peers[peer.target]

    def _retry(self, peer: Peer, seconds: float) -> None:
        self._cancel_retry(peer)
        delay = seconds * random.uniform(0.5, 1.0)
        peer.retry = self._means.timers.enter(delay, 0, self._open, (peer,))

    def _cancel_retry(self, peer: Peer) -> None:
        if peer.retry is not None:
            with suppress(ValueError):  # it has just run
                self._means.timers.cancel(peer.retry)
            peer.retry = None

    def _trouble(self, peer: Peer, problem: str) -> None:
        if peer.problem:
            return
        peer.problem = problem
        _LOG.warning("%s", problem)
        self._tell(peer, problem=problem)

    def _recovered(self, peer: Peer, what: str) -> None:
        if peer.problem:
            _LOG.info("The connection to libvirt at %s is well again: %s.", peer.target.name, what)
        elif peer.connected_before and not peer.told_closed:
            return
        peer.problem = ""
        self._tell(peer)

    def _close_quietly(self, peer: Peer) -> None:
        """Say, once, that a launcher has ended with its VM: that is how pods end, and no trouble."""
        peer.problem = ""
        if not peer.told_closed:
            peer.told_closed = True
            self._tell(peer, closed=True)

    def _tell(self, peer: Peer, *, problem: str = "", closed: bool = False) -> None:
        at = self._means.clock.time()
        self._means.deliver(ConnectionState(peer.target.name, at, problem, closed))


class _Attempt:
    """One attempt to connect, and the ears of the connection that it brings.

    What a new connection tells before it is listed waits for the listing.
    """

    def __init__(self, connections: Connections, peer: Peer, means: Means) -> None:
        self._connections = connections
        self._peer = peer
        self._means = means
        self._waiting: list[Callable[[], None]] | None = []

    def run(self) -> tuple[Link, Listing]:
        """Open and list, in the pool."""
        link = Link.open(self._peer.target, self._means.keepalive, Ears(self._heard, self._closed))
        try:
            return link, self._peer.viewer.list_all(link)
        except BaseException:
            link.close()
            raise

    def flush(self) -> None:
        """Tell what waited."""
        waiting, self._waiting = self._waiting, None
        for tell in waiting or ():
            self._tell(tell)

    def _heard(self, domain: libvirt.virDomain, heard: Heard) -> None:
        at = self._means.clock.time()
        self._post(partial(self._connections.heard, self._peer, domain, heard, at))

    def _closed(self, reason: str) -> None:
        self._post(partial(self._connections.ended, self._peer, reason))

    def _post(self, tell: Callable[[], None]) -> None:
        self._means.post(partial(self._tell, tell))

    def _tell(self, tell: Callable[[], None]) -> None:
        if self._peer.attempt is not self:
            return  # of a connection that we have left
        if self._waiting is not None:
            self._waiting.append(tell)
        else:
            tell()
