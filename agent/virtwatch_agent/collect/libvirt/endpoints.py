"""Endpoints come and go.

Opened when a socket appears, opened again with back-off when they are lost, given up when their pod is gone. All on
the collector's thread; what blocks runs in the pool.
"""

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import libvirt

from virtwatch_agent.collect.kernel.reader import NetworkCounters
from virtwatch_agent.collect.libvirt import problems
from virtwatch_agent.collect.libvirt.call_pool import Call
from virtwatch_agent.collect.libvirt.call_queue import CallQueue
from virtwatch_agent.collect.libvirt.connection import Callbacks, Connection
from virtwatch_agent.collect.libvirt.endpoint import SLICE_S, Endpoint, Runtime
from virtwatch_agent.collect.libvirt.events import LibvirtEvent
from virtwatch_agent.collect.libvirt.inspection import Inspector, Listing, ListingUnderWay
from virtwatch_agent.inventory.addresses import AddressKind, LibvirtAddress
from virtwatch_agent.observations import ConnectionState

_LOG = logging.getLogger(__name__)
_FIRST_RETRY = 0.1  # seconds; a daemon is often back within this
_LAST_RETRY = 10.0
# Seconds in which the end of a pod and of its virtqemud alone look the same; then QEMU is gone, or it is trouble.
_POD_ENDS = 1.0
_QUIET_RETRY = 30.0  # seconds; for the socket of an ended pod, which stays as long as the pod is kept


class Listener(Protocol):
    """Take what connections bring."""

    def opened(self, endpoint: Endpoint, listing: Listing) -> None:
        """Take a new connection and what it shows."""
        ...

    def received(self, endpoint: Endpoint, domain: libvirt.virDomain, received: LibvirtEvent, at: float) -> None:
        """Take an event of a domain; `at` is seconds since 1970."""
        ...

    def lost(self, endpoint: Endpoint) -> None:
        """Take that the connection has ended; its domains may well live on."""
        ...

    def unreachable(self, endpoint: Endpoint) -> bool:
        """Take that opening failed; return whether any domain of the endpoint still lives."""
        ...

    def gone(self, endpoint: Endpoint) -> None:
        """Take that an endpoint is gone for good, with its domains."""
        ...


class Endpoints:
    """Keep one connection to each address that there is."""

    def __init__(self, runtime: Runtime, listener: Listener) -> None:
        self._runtime = runtime
        self._listener = listener
        self._endpoints: dict[LibvirtAddress, Endpoint] = {}
        self._looked = False

    def update(self, addresses: frozenset[LibvirtAddress]) -> None:
        """Take the addresses that there are now; one is reported again when its socket was made again."""
        for address in addresses:
            endpoint = self._endpoints.get(address)
            if endpoint is None:
                runtime = self._runtime
                inspector = Inspector(address, runtime.processes, NetworkCounters(), runtime.macvtaps)
                endpoint = self._endpoints[address] = Endpoint(address, inspector, new=self._looked)
            self._open(endpoint)
        for address in self._endpoints.keys() - addresses:
            if not address.folder_exists:
                self._give_up(self._endpoints[address])
        self._looked = True

    @property
    def counts(self) -> tuple[int, int]:
        """Return how many libvirt daemons are known, and how many of them are in trouble; from any thread."""
        known = [endpoint for endpoint in tuple(self._endpoints.values()) if not endpoint.reported_closed]
        return len(known), sum(bool(endpoint.problem) for endpoint in known)

    def suspect(self, endpoint: Endpoint) -> None:
        """Take that calls on the connection do not return."""
        self._trouble(endpoint, problems.silent(endpoint.address))

    def well(self, endpoint: Endpoint) -> None:
        """Take that calls on the connection return."""
        if endpoint.calls is not None and endpoint.problem:
            self._recovered(endpoint, "it answers again")

    def close(self) -> None:
        """Close every connection."""
        for endpoint in self._endpoints.values():
            endpoint.given_up = True
            self._drop_line(endpoint)

    def _open(self, endpoint: Endpoint) -> None:
        self._cancel_retry(endpoint)
        if endpoint.attempt is not None or endpoint.given_up:
            return  # one attempt that hangs is enough: it ends when the daemon continues or dies
        attempt = endpoint.attempt = _Attempt(self, endpoint, self._runtime)
        self._runtime.openings.submit(self._attempted(endpoint, attempt, attempt.run))

    def _attempted(
        self, endpoint: Endpoint, attempt: "_Attempt", run: Callable[[], tuple[Connection, ListingUnderWay]]
    ) -> Call[tuple[Connection, ListingUnderWay]]:
        return Call(
            run=run,
            done=partial(self._opened, endpoint, attempt),
            failed=partial(self._failed, endpoint),
            overdue=partial(self.suspect, endpoint),
        )

    def _opened(self, endpoint: Endpoint, attempt: "_Attempt", opened: tuple[Connection, ListingUnderWay]) -> None:
        connection, under_way = opened
        if under_way.left and not endpoint.given_up:
            self._runtime.openings.submit(
                self._attempted(endpoint, attempt, partial(attempt.go_on, connection, under_way))
            )
            return
        listing = under_way.whole
        endpoint.calls = CallQueue(connection, self._runtime.pool)
        if endpoint.given_up:
            self._drop_line(endpoint)
            return
        self._recovered(endpoint, f"{len(listing.inspections)} running VMs")
        endpoint.failing_since, endpoint.reported_closed = None, False
        self._listener.opened(endpoint, listing)
        endpoint.connected_before = True
        attempt.flush()

    def _failed(self, endpoint: Endpoint, error: Exception) -> None:
        endpoint.attempt = None
        if endpoint.given_up:
            return
        living = self._listener.unreachable(endpoint)
        if endpoint.address.kind is AddressKind.POD and not endpoint.address.folder_exists:
            self._give_up(endpoint)
        elif endpoint.address.kind is AddressKind.POD and not living and problems.nobody_there(error):
            self._close_quietly(endpoint)
            self._retry(endpoint, _QUIET_RETRY)
        else:
            self._still_failing(endpoint, error)

    def _still_failing(self, endpoint: Endpoint, error: Exception) -> None:
        now = self._runtime.clock.monotonic()
        if endpoint.failing_since is None:
            endpoint.failing_since = now
        failing = now - endpoint.failing_since
        if endpoint.address.kind is not AddressKind.POD or failing >= _POD_ENDS:
            self._trouble(endpoint, problems.not_opened(endpoint.address, error))
        self._retry(endpoint, min(_LAST_RETRY, max(_FIRST_RETRY, failing)))

    def ended(self, endpoint: Endpoint, reason: str) -> None:
        """Take the end of the connection that is open."""
        self._drop_line(endpoint)
        if endpoint.given_up:
            return
        endpoint.failing_since = self._runtime.clock.monotonic()
        self._listener.lost(endpoint)
        if endpoint.address.kind is not AddressKind.POD:
            self._trouble(endpoint, problems.lost(endpoint.address, reason))
        self._retry(endpoint, _FIRST_RETRY)

    def received(self, endpoint: Endpoint, domain: libvirt.virDomain, received: LibvirtEvent, at: float) -> None:
        """Take an event of the connection that is open."""
        if not endpoint.given_up:
            self._listener.received(endpoint, domain, received, at)

    def _drop_line(self, endpoint: Endpoint) -> None:
        calls, endpoint.calls, endpoint.attempt = endpoint.calls, None, None
        monitors, endpoint.monitors, endpoint.reading = endpoint.monitors, None, False
        if monitors is not None:
            monitors.close()
        if calls is not None:
            calls.close()

    def _give_up(self, endpoint: Endpoint) -> None:
        endpoint.given_up = True
        self._cancel_retry(endpoint)
        self._listener.gone(endpoint)
        self._drop_line(endpoint)
        self._close_quietly(endpoint)
        del self._endpoints[endpoint.address]

    def _retry(self, endpoint: Endpoint, seconds: float) -> None:
        self._cancel_retry(endpoint)
        delay = seconds * random.uniform(0.5, 1.0)
        endpoint.retry = self._runtime.timers.enter(delay, 0, self._open, (endpoint,))

    def _cancel_retry(self, endpoint: Endpoint) -> None:
        if endpoint.retry is not None:
            with suppress(ValueError):  # it has just run
                self._runtime.timers.cancel(endpoint.retry)
            endpoint.retry = None

    def _trouble(self, endpoint: Endpoint, problem: str) -> None:
        silent = problems.silent(endpoint.address)
        if endpoint.problem == problem or endpoint.problem not in ("", silent):
            return  # said once; but why nobody answered is said as soon as it is known
        endpoint.problem = problem
        _LOG.warning("%s", problem)
        self._tell(endpoint, problem=problem)

    def _recovered(self, endpoint: Endpoint, what: str) -> None:
        if endpoint.problem:
            _LOG.info("The connection to libvirt at %s is well again: %s.", endpoint.address.name, what)
        elif endpoint.connected_before and not endpoint.reported_closed:
            return
        endpoint.problem = ""
        self._tell(endpoint)

    def _close_quietly(self, endpoint: Endpoint) -> None:
        """Say, once, that a launcher has ended with its VM: that is how pods end, and no trouble."""
        endpoint.problem = ""
        if not endpoint.reported_closed:
            endpoint.reported_closed = True
            self._tell(endpoint, closed=True)

    def _tell(self, endpoint: Endpoint, *, problem: str = "", closed: bool = False) -> None:
        at = self._runtime.clock.time()
        self._runtime.deliver(ConnectionState(endpoint.address.name, at, problem, closed))


class _Attempt:
    """One attempt to connect, and the callbacks of the connection that it brings.

    What a new connection tells before it is listed waits for the listing.
    """

    def __init__(self, connections: Endpoints, endpoint: Endpoint, runtime: Runtime) -> None:
        self._connections = connections
        self._endpoint = endpoint
        self._runtime = runtime
        self._waiting: list[Callable[[], None]] | None = []

    def run(self) -> tuple[Connection, ListingUnderWay]:
        """Open and begin to list, in the pool."""
        connection = Connection.open(
            self._endpoint.address, self._runtime.keepalive, Callbacks(self._received, self._closed)
        )
        try:
            listing = self._endpoint.inspector.begin(connection)
        except BaseException:
            connection.close()
            raise
        return self.go_on(connection, listing)

    def go_on(self, connection: Connection, listing: ListingUnderWay) -> tuple[Connection, ListingUnderWay]:
        """List on for a while, in the pool."""
        clock = self._runtime.clock
        try:
            self._endpoint.inspector.go_on(connection, listing, until=clock.monotonic() + SLICE_S, clock=clock)
        except BaseException:
            connection.close()
            raise
        return connection, listing

    def flush(self) -> None:
        """Hand on what waited for the listing."""
        waiting, self._waiting = self._waiting, None
        for tell in waiting or ():
            self._tell(tell)

    def _received(self, domain: libvirt.virDomain, received: LibvirtEvent) -> None:
        at = self._runtime.clock.time()
        self._post(partial(self._connections.received, self._endpoint, domain, received, at))

    def _closed(self, reason: str) -> None:
        self._post(partial(self._connections.ended, self._endpoint, reason))

    def _post(self, tell: Callable[[], None]) -> None:
        self._runtime.post(partial(self._tell, tell))

    def _tell(self, tell: Callable[[], None]) -> None:
        if self._endpoint.attempt is not self:
            return  # of a connection that we have left
        if self._waiting is not None:
            self._waiting.append(tell)
        else:
            tell()
