"""The monitor calls of one libvirt: one at a time, none to a VM that is known to be stuck.

A call that hangs costs its connection alone: the other VMs' calls take another, and only so many may hang (hanging.py).
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from virtwatch_agent.collect.libvirt.call_pool import Call, CallPool
from virtwatch_agent.collect.libvirt.call_queue import CallQueue
from virtwatch_agent.collect.libvirt.connection import QEMU, Connection
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.hanging import Hanging
from virtwatch_agent.collect.libvirt.monitor import Answer, Occupied, ask, probe
from virtwatch_agent.seams import Clock
from virtwatch_api.catalogue.readings import Source

_LOG = logging.getLogger(__name__)
# Domains in one bulk call: it must end well within its deadline, at 10 to 20 ms for each domain.
_BATCH = 16
_ONE_BY_ONE = 4  # the same where a driver has no bulk call: five calls for each domain, perhaps over a slow link
# One failed call often means that libvirt ends, which is said elsewhere.
_WORTH_SAYING = 2


class MonitorResults(Protocol):
    """Take what came of monitor calls."""

    def stuck(self, uuid: str) -> bool:
        """Return whether a VM is known to be stuck: it is then probed, not asked."""
        ...

    def answered(self, answer: Answer) -> None:
        """Take readings, and which monitors were free or occupied."""
        ...

    def suspect(self) -> None:
        """Take that libvirt itself does not answer."""
        ...

    def held(self, held: Mapping[str, Occupied]) -> None:
        """Take which VMs are not asked for now, for how long they have waited, and why."""
        ...

    def places(self, uuid: str) -> frozenset[str]:
        """Name the storage that a VM's disks lie on."""
        ...

    def is_stopped(self, uuid: str) -> bool:
        """Return whether a VM's QEMU is stopped."""
        ...


@dataclass(eq=False, slots=True)
class _MonitorConnection:
    calls: CallQueue
    busy: bool = False
    hangs: bool = False


class MonitorQueue:
    """Make the monitor calls of one libvirt; used on the collector's thread only.

    A call may hang, so it has a connection of its own. Only a driver without monitors makes do with the main one.
    """

    def __init__(
        self,
        main: CallQueue,
        *,
        another: Callable[[], Connection],
        pool: CallPool,
        clock: Clock,
        results: MonitorResults,
    ) -> None:
        """Ask on `main` what never hangs; `another` opens a connection for monitor calls."""
        self._main = main
        self._another = another
        self._pool = pool
        self._clock = clock
        self._results = results
        self._connections = [] if main.connection.driver == QEMU else [_MonitorConnection(main)]
        self._batch = _BATCH if main.connection.driver == QEMU else _ONE_BY_ONE
        self._wanted: dict[str, set[Source]] = {}
        self._wanted_since: dict[str, float] = {}  # and not asked yet; monotonic seconds
        self._devices: dict[str, Devices] = {}  # of those that are wanted
        self._hanging = Hanging(results.places, results.is_stopped)
        self._opening = False
        self._probing = False
        self._closed = False
        self._failures = 0

    def want(self, uuid: str, source: Source, devices: Devices) -> None:
        """Ask for a source of a domain as soon as a connection is free; call `pump` after the last."""
        self._wanted.setdefault(uuid, set()).add(source)
        self._wanted_since.setdefault(uuid, self._clock.monotonic())
        self._devices[uuid] = devices

    def check(self, uuid: str, devices: Devices) -> None:
        """Ask whether a domain's monitor answers, as soon as a connection is free; call `pump` after the last."""
        self._wanted.setdefault(uuid, set())
        self._wanted_since.setdefault(uuid, self._clock.monotonic())
        self._devices[uuid] = devices

    def forget(self, uuid: str) -> None:
        """Forget for how long a VM has waited, which is gone or runs in a new QEMU."""
        self._wanted_since.pop(uuid, None)

    def pump(self) -> None:
        """Go on with what is wanted."""
        self._hold()
        if suspects := {uuid: self._devices.pop(uuid) for uuid in self._wanted if self._results.stuck(uuid)}:
            for uuid in suspects:
                del self._wanted[uuid]
            self._probe(suspects)
        if not self._wanted or self._closed or any(one.busy and not one.hangs for one in self._connections):
            return
        connection = next((connection for connection in self._connections if not connection.busy), None)
        if connection is None:
            self._open_another()
        else:
            self._ask(connection)

    def close(self) -> None:
        """Drop what is wanted and close what was opened here."""
        self._closed = True
        self._wanted.clear()
        for connection in list(self._connections):
            self._drop(connection)

    def _hold(self) -> None:
        now = self._clock.monotonic()
        held = self._hanging.held(self._wanted, now=now)
        for uuid in held:
            del self._wanted[uuid], self._devices[uuid]
        since = self._wanted_since
        self._results.held({uuid: Occupied(now - since.get(uuid, now), held=why) for uuid, why in held.items()})

    def _next(self) -> tuple[list[str], frozenset[Source]]:
        """Choose whom to ask next: while calls hang, those that answer first, and of the others each by itself."""
        candidates = list(self._wanted)
        if self._hanging:
            candidates = self._hanging.proven(candidates) or candidates[:1]
        sources = frozenset(self._wanted[candidates[0]])
        return [uuid for uuid in candidates if self._wanted[uuid] == sources][: self._batch], sources

    def _ask(self, connection: _MonitorConnection) -> None:
        uuids, sources = self._next()
        batch = {uuid: self._devices.pop(uuid) for uuid in uuids}
        for uuid in uuids:
            del self._wanted[uuid]
            self._wanted_since.pop(uuid, None)
        self._hanging.asked(uuids)
        connection.busy = True
        connection.calls.submit(
            Call(
                run=partial(ask, connection.calls.connection, batch, sources, self._clock),
                done=partial(self._answered, connection),
                failed=partial(self._failed, connection),
                overdue=partial(self._overdue, connection, batch, sources),
            )
        )

    def _answered(self, connection: _MonitorConnection, answer: Answer) -> None:
        connection.busy = connection.hangs = False
        self._hanging.ended(connection)
        self._hanging.answered(answer.free)
        self._failures = 0
        for other in [other for other in self._connections if other is not connection and not other.busy]:
            self._drop(other)  # one that is free is enough
        self._results.answered(answer)
        self.pump()

    def _failed(self, connection: _MonitorConnection, error: Exception) -> None:
        connection.busy = connection.hangs = False
        self._hanging.ended(connection)
        self._failures += 1
        if self._failures == _WORTH_SAYING:
            _LOG.warning("libvirt gave no figures of disks and memory, they are absent until it does: %s", error)
        self._drop(connection)
        self.pump()

    def _overdue(
        self, connection: _MonitorConnection, batch: Mapping[str, Devices], sources: frozenset[Source]
    ) -> None:
        """Find who holds the call up, and ask the others of its batch again on another connection."""
        connection.hangs = True
        self._hanging.began(connection, batch)
        self._probe(batch, again=sources, hangs=connection)

    def _probe(
        self,
        domains: Mapping[str, Devices],
        *,
        again: frozenset[Source] = frozenset(),
        hangs: _MonitorConnection | None = None,
    ) -> None:
        """See which monitors are free; `again` is what to ask those that are, `hangs` whose call asked them all."""
        if self._probing:
            return  # it did not return: libvirt itself hangs
        self._probing = True
        self._main.submit(
            Call(
                run=partial(probe, self._main.connection, tuple(domains)),
                done=partial(self._probed, domains, again, hangs),
                failed=lambda _: self._probe_failed(),
                overdue=self._results.suspect,
            )
        )

    def _probed(
        self,
        batch: Mapping[str, Devices],
        again: frozenset[Source],
        hangs: _MonitorConnection | None,
        answer: Answer,
    ) -> None:
        self._probing = False
        if hangs is not None:
            self._hanging.found(hangs, answer.occupied)
        self._results.answered(answer)
        for uuid in answer.free if again else ():
            self._wanted.setdefault(uuid, set()).update(again)
            self._devices[uuid] = batch[uuid]
        self.pump()

    def _probe_failed(self) -> None:
        self._probing = False

    def _open_another(self) -> None:
        if self._opening:
            return
        self._opening = True
        self._pool.submit(
            Call(
                run=self._another,
                done=self._opened,
                failed=lambda _: self._open_failed(),
                overdue=self._results.suspect,
            )
        )

    def _opened(self, opened: Connection) -> None:
        self._opening = False
        connection = _MonitorConnection(CallQueue(opened, self._pool))
        self._connections.append(connection)
        if self._closed:
            self._drop(connection)
        else:
            self.pump()

    def _open_failed(self) -> None:
        self._opening = False  # tried again when something is due

    def _drop(self, connection: _MonitorConnection) -> None:
        if connection.calls is not self._main:
            self._connections.remove(connection)
            connection.calls.close()
