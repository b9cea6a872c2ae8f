"""Finds out of a domain that leaves in a live migration: libvirt reports no event when that begins or comes to nothing.

It tells each pass over the guest's memory, which a saved domain makes too; its job then says what it is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import libvirt

from virtwatch_agent.collect.libvirt.call_pool import Call
from virtwatch_agent.collect.libvirt.connection import Connection, Keepalive
from virtwatch_agent.collect.libvirt.endpoint import Endpoint, Runtime
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.observations import MigrationsSeen, TargetEvent
from virtwatch_api.targets import vm_ref

_LOOK_S = 2.0  # between looks at a job
# Looks that find no job before its migration counts as failed: libvirt says a success within one.
_LOOKS = 2


@dataclass(slots=True)
class _Watched:
    began: float  # seconds since 1970
    reported: bool = False
    without_job: int = 0


class Migrations:
    """Look at the jobs of domains that may be on their way, each in a call of its own, which may hang."""

    def __init__(self, runtime: Runtime, counts: Callable[[str, str], bool]) -> None:
        """`counts` tells whether a connection's word counts for a domain."""
        self._runtime = runtime
        self._counts = counts
        self._watched: dict[tuple[Endpoint, str], _Watched] = {}

    def passed(self, endpoint: Endpoint, uuid: str, *, at: float) -> None:
        """Take that a domain's memory was passed over."""
        if (endpoint, uuid) not in self._watched:
            self._watched[endpoint, uuid] = _Watched(at)
            self._look(endpoint, uuid)

    def opened(self, endpoint: Endpoint, uuids: Iterable[str]) -> None:
        """Find out, after a gap, which domains of a connection leave."""
        asked = tuple(uuids)
        if asked:
            self._ask(endpoint, asked, partial(self._compared, endpoint, asked))

    def gone(self, endpoint: Endpoint, uuid: str) -> None:
        """Stop looking: how it ended is reported."""
        self._watched.pop((endpoint, uuid), None)

    def _compared(self, endpoint: Endpoint, asked: tuple[str, ...], leaving: frozenset[str]) -> None:
        at = self._runtime.clock.time()
        counted = frozenset(uuid for uuid in asked if self._counts(endpoint.address.name, uuid))
        for uuid in leaving & counted:
            if (endpoint, uuid) not in self._watched:
                self._watched[endpoint, uuid] = _Watched(at, reported=True)
                self._runtime.timers.enter(_LOOK_S, 0, self._look, (endpoint, uuid))
        self._runtime.deliver(MigrationsSeen(counted, leaving & counted, at))

    def _look(self, endpoint: Endpoint, uuid: str) -> None:
        if (endpoint, uuid) in self._watched:
            self._ask(endpoint, (uuid,), lambda leaving: self._looked(endpoint, uuid, leaves=uuid in leaving))

    def _looked(self, endpoint: Endpoint, uuid: str, *, leaves: bool) -> None:
        watched = self._watched.get((endpoint, uuid))
        if watched is None:
            return
        watched.without_job = 0 if leaves else watched.without_job + 1
        if leaves and not watched.reported:
            watched.reported = True
            self._tell(endpoint, TargetEvent("vm.migration_started", vm_ref(uuid), watched.began))
        if watched.without_job >= _LOOKS or not (leaves or watched.reported):
            del self._watched[endpoint, uuid]
            if watched.reported:
                self._tell(endpoint, TargetEvent("vm.migration_failed", vm_ref(uuid), self._runtime.clock.time()))
            return
        self._runtime.timers.enter(_LOOK_S, 0, self._look, (endpoint, uuid))

    def _tell(self, endpoint: Endpoint, event: TargetEvent) -> None:
        if self._counts(endpoint.address.name, event.target.id):
            self._runtime.deliver(event)

    def _ask(self, endpoint: Endpoint, uuids: tuple[str, ...], done: Callable[[frozenset[str]], None]) -> None:
        """Ask on a connection of its own: a guest that is stuck lets the question hang, and nothing else shall wait."""

        def failed(_: Exception) -> None:
            if len(uuids) == 1 and (endpoint, uuids[0]) in self._watched:
                self._runtime.timers.enter(_LOOK_S, 0, self._look, (endpoint, uuids[0]))

        run = partial(_leaving, endpoint.address, self._runtime.keepalive, uuids)
        self._runtime.pool.submit(Call(run=run, done=done, failed=failed))


def _leaving(address: LibvirtAddress, keepalive: Keepalive, uuids: tuple[str, ...]) -> frozenset[str]:
    """Return which of these domains migrate away now."""
    connection = Connection.open(address, keepalive, None)
    try:
        return frozenset(uuid for uuid in uuids if _leaves(connection.raw, uuid))
    finally:
        connection.close()


def _leaves(connection: libvirt.virConnect, uuid: str) -> bool:
    try:
        job = connection.lookupByUUIDString(uuid).jobStats()
    except libvirt.libvirtError as error:
        if error.get_error_code() in (
            libvirt.VIR_ERR_NO_DOMAIN,
            libvirt.VIR_ERR_NO_SUPPORT,
            libvirt.VIR_ERR_OPERATION_INVALID,
        ):
            return False
        raise
    active = job.get("type") in (libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED)
    return active and job.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
