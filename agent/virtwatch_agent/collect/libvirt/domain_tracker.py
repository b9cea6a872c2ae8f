"""The domains that each connection shows: which one's word counts, and what of what is received and listed is news.

Pure. What must have happened while nobody looked is inferred in `inventory/gaps.py`.
"""

from collections.abc import Iterator
from dataclasses import replace

from virtwatch_agent.collect.libvirt.events import LifecycleEvent, Turn
from virtwatch_agent.collect.libvirt.problems import runs_twice, same_uuid
from virtwatch_agent.inventory.gaps import DomainView, begun, ended, failure, relisted, turned
from virtwatch_agent.observations import (
    Appeared,
    Domain,
    DomainState,
    Observation,
    TargetEvent,
    Unwatched,
    Vanished,
)
from virtwatch_api.targets import vm_ref

LOST = "lost"  # the reason of a stop that nobody saw
_DUMPS_ITSELF = "crashloaded"  # the guest panicked, and runs on to write its own dump
# Reasons for which the source or the target of a live migration is paused.
_MIGRATES = frozenset({"migration", "postcopy", "postcopy_failed"})


class DomainTracker:
    """Know each domain by its UUID. When two connections show one, the first counts until its domain is gone.

    That is so where a URI given by hand names the host's own libvirt again, and in a migration between two libvirts of
    one machine. Of two VMs of different names with one UUID, one cannot be watched, and that is reported. One
    VM that runs in two pods is `doubled`; it is reported after a while, for the QEMUs of a restart overlap.
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[str, DomainView]] = {}
        self._start_said: set[tuple[str, str]] = set()
        self._unwatched: set[tuple[str, str]] = set()  # connections and UUIDs of VMs that have another one's UUID

    def view(self, connection: str, uuid: str) -> DomainView | None:
        """Return what is known of a domain on a connection."""
        return self._known.get(uuid, {}).get(connection)

    def counts(self, connection: str, uuid: str) -> bool:
        """Return whether this connection is the one whose word counts for a domain."""
        return self.connection_of(uuid) == connection

    def counted(self, uuid: str) -> DomainView | None:
        """Return what is known of a domain on the connection whose word counts."""
        for view in self._known.get(uuid, {}).values():
            return view
        return None

    def connection_of(self, uuid: str) -> str | None:
        """Name the connection whose word counts for a domain."""
        return next(iter(self._known.get(uuid, {})), None)

    def on(self, connection: str) -> list[str]:
        """Name the domains that a connection shows."""
        return [uuid for uuid, views in self._known.items() if connection in views]

    def saw(self, seen: DomainView, *, at: float, new: bool) -> list[Observation]:
        """Take a look at a domain; what is new compared with before is inferred.

        `new` says that a domain that was not known before started while nobody looked.
        """
        uuid, connection = seen.domain.uuid, seen.domain.connection
        before = self.view(connection, uuid)
        self._known.setdefault(uuid, {})[connection] = seen
        if not self.counts(connection, uuid):
            return self._told_apart(seen, at)
        if before is not None and before.domain.incarnation == seen.domain.incarnation:
            return [_appeared(seen, at), *relisted(before, seen, at=at)]
        if before is None and not new:
            return [_appeared(seen, at), *failure(seen, at=at)]
        self._start_said.add((connection, uuid))
        stopped = () if before is None else ended(before.domain, LOST, at=at)
        return [*stopped, _appeared(seen, at, started=True), *begun(seen, at=at), *failure(seen, at=at)]

    def received(self, connection: str, uuid: str, turn: LifecycleEvent, *, at: float) -> list[Observation]:
        """Take a turn of a known domain; what is known already is not said again. A start is `started`."""
        before = self.view(connection, uuid)
        if before is None:
            return []
        if turn.turn is Turn.STOPPED:
            return self.gone(connection, uuid, turn.reason, at=at, inferred=False)
        now = _turned(before, turn)
        self._known[uuid][connection] = now
        if not self.counts(connection, uuid):
            return []
        if turn.reason == _DUMPS_ITSELF:
            return [*_said(turn, uuid, at)]
        return [] if now == before else [_appeared(now, at), *_said(turn, uuid, at)]

    def started(self, seen: DomainView, reason: str, *, at: float) -> list[Observation]:
        """Take a start that was heard, and what the look that followed showed."""
        uuid, connection = seen.domain.uuid, seen.domain.connection
        before = self.view(connection, uuid)
        if before is not None and before.domain.incarnation != seen.domain.incarnation:
            return self.saw(seen, at=at, new=True)
        said = (connection, uuid) in self._start_said
        self._start_said.add((connection, uuid))
        self._known.setdefault(uuid, {})[connection] = seen
        if not self.counts(connection, uuid):
            return self._told_apart(seen, at)
        started = () if said else (TargetEvent("vm.started", vm_ref(uuid), at, {"reason": reason}),)
        appeared = _appeared(seen, at, started=not said)
        if before is not None:  # a listing was faster than the event
            return [appeared, *started, *relisted(before, seen, at=at)]
        # A start in the paused state is not always heard as a pause (a migration's target is not).
        paused = turned(seen, at=at) if seen.domain.state is not DomainState.RUNNING else ()
        return [appeared, *started, *paused, *failure(seen, at=at)]

    def gone(self, connection: str, uuid: str, reason: str, *, at: float, inferred: bool) -> list[Observation]:
        """Drop a domain that stopped; when another connection shows it too, that one counts from now on."""
        counted = self.counts(connection, uuid)
        views = self._known.get(uuid, {})
        before = views.pop(connection, None)
        self._start_said.discard((connection, uuid))
        if not views:
            self._known.pop(uuid, None)
        if before is None or not counted:
            return self._watched(connection, uuid, at)
        found: list[Observation] = [*ended(before.domain, reason, at=at, inferred=inferred), Vanished(uuid, at, reason)]
        heir = next(iter(views.values()), None)
        if heir is None:
            return found
        found += self._watched(heir.domain.connection, uuid, at)
        if reason == "migrated" or not _two_of_one(before.domain, heir.domain):
            return [*found, _appeared(heir, at)]
        self._start_said.add((heir.domain.connection, uuid))
        return [*found, _appeared(heir, at, started=True), *begun(heir, at=at), *failure(heir, at=at)]

    def doubled(self, connection: str, uuid: str) -> bool:
        """Return whether a VM has a QEMU here, another one where its word counts, and no migration between them."""
        mine, counts = self.view(connection, uuid), next(iter(self._known.get(uuid, {}).values()), None)
        if mine is None or counts is None or not _two_of_one(mine.domain, counts.domain):
            return False
        return not any(one.domain.state is DomainState.PAUSED and one.reason in _MIGRATES for one in (mine, counts))

    def hidden(self, connection: str, uuid: str, *, at: float) -> list[Observation]:
        """Say, once, that a VM that is doubled is not watched here."""
        if (connection, uuid) in self._unwatched or not self.doubled(connection, uuid):
            return []
        self._unwatched.add((connection, uuid))
        mine, counts = self._known[uuid][connection].domain, next(iter(self._known[uuid].values())).domain
        problem = runs_twice(mine.name, hidden=str(mine.pod_uid), watched=str(counts.pod_uid))
        return [Unwatched(uuid, connection, at, problem)]

    def _told_apart(self, seen: DomainView, at: float) -> list[Observation]:
        """Say, once, that a VM is not watched because another one has its UUID."""
        domain = seen.domain
        counts = next(iter(self._known[domain.uuid].values())).domain
        if counts.name == domain.name or (domain.connection, domain.uuid) in self._unwatched:
            return []
        self._unwatched.add((domain.connection, domain.uuid))
        return [Unwatched(domain.uuid, domain.connection, at, same_uuid(domain.name, counts.name, domain.uuid))]

    def _watched(self, connection: str, uuid: str, at: float) -> list[Observation]:
        """Say that this is over."""
        if (connection, uuid) not in self._unwatched:
            return []
        self._unwatched.discard((connection, uuid))
        return [Unwatched(uuid, connection, at)]


def _two_of_one(one: Domain, other: Domain) -> bool:
    """Return whether two domains of one UUID are one VM in two pods; on a host, two connections show one QEMU."""
    pods = {one.pod_uid, other.pod_uid}
    return one.name == other.name and len(pods) == 2 and None not in pods


def _appeared(seen: DomainView, at: float, *, started: bool = False) -> Appeared:
    return Appeared(seen.domain, at, seen.reason, started)


def _turned(before: DomainView, turn: LifecycleEvent) -> DomainView:
    match turn.turn:
        case Turn.PAUSED:
            return DomainView(replace(before.domain, state=DomainState.PAUSED), turn.reason)
        case Turn.CRASHED if turn.reason != _DUMPS_ITSELF:
            return DomainView(replace(before.domain, state=DomainState.CRASHED), turn.reason)
        case Turn.RESUMED if before.domain.state is not DomainState.RUNNING:
            return DomainView(replace(before.domain, state=DomainState.RUNNING), turn.reason)
        case _:
            return before


def _said(turn: LifecycleEvent, uuid: str, at: float) -> Iterator[TargetEvent]:
    match turn.turn:
        case Turn.PAUSED:
            yield TargetEvent("vm.paused", vm_ref(uuid), at, {"reason": turn.reason})
        case Turn.RESUMED:
            yield TargetEvent("vm.resumed", vm_ref(uuid), at, {"reason": turn.reason} if turn.reason else {})
        case Turn.CRASHED:
            yield TargetEvent("vm.crashed", vm_ref(uuid), at, {"reason": turn.reason})
