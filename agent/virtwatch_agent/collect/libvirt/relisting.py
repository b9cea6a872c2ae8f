"""Lists the domains of a libvirt again and again whose driver reports no events (ESX, VirtualBox)."""

from collections.abc import Callable
from functools import partial

from virtwatch_agent.collect.libvirt.call_pool import Call
from virtwatch_agent.collect.libvirt.call_queue import CallQueue
from virtwatch_agent.collect.libvirt.endpoint import SLICE_S, Endpoint, Runtime
from virtwatch_agent.collect.libvirt.endpoints import Endpoints
from virtwatch_agent.collect.libvirt.inspection import Listing, ListingUnderWay

LIST_EVERY_S = 15.0


class Relisting:
    """List what has no events, a slice at a time; `listed` takes each whole listing. On the collector's thread."""

    def __init__(self, runtime: Runtime, connections: Endpoints, listed: Callable[[Endpoint, Listing], None]) -> None:
        self._runtime = runtime
        self._connections = connections
        self._listed = listed

    def opened(self, endpoint: Endpoint, calls: CallQueue | None) -> None:
        """Take a new connection."""
        if calls is not None and not calls.connection.has_events:
            self._runtime.timers.enter(LIST_EVERY_S, 0, self._list, (endpoint, calls))

    def _list(self, endpoint: Endpoint, calls: CallQueue, under_way: ListingUnderWay | None = None) -> None:
        if endpoint.calls is not calls:
            return
        calls.submit(
            Call(
                run=partial(self._slice, endpoint, calls, under_way),
                done=partial(self._sliced, endpoint, calls),
                # Such a driver does not report its connection's end either.
                failed=lambda error: self._connections.ended(endpoint, str(error)),
                overdue=partial(self._connections.suspect, endpoint),
            )
        )

    def _slice(self, endpoint: Endpoint, calls: CallQueue, under_way: ListingUnderWay | None) -> ListingUnderWay:
        clock, connection = self._runtime.clock, calls.connection
        listing = under_way or endpoint.inspector.begin(connection)
        endpoint.inspector.go_on(connection, listing, until=clock.monotonic() + SLICE_S, clock=clock)
        return listing

    def _sliced(self, endpoint: Endpoint, calls: CallQueue, listing: ListingUnderWay) -> None:
        self._connections.well(endpoint)
        if listing.left:
            self._list(endpoint, calls, listing)
        else:
            self._listed(endpoint, listing.whole)
            self.opened(endpoint, calls)
