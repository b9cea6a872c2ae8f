"""The virtual networks and storage pools of this node, and what must have happened to them while nobody looked."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from virtwatch_agent.journal.store import Restored
from virtwatch_agent.judge.libvirt_object import LibvirtObjectTarget
from virtwatch_agent.observations import LibvirtObject, ObjectsListed, TargetEvent
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.targets import TargetRef
from virtwatch_rules.budget import WindowBudget

OBJECTS = frozenset({TargetKind.NETWORK, TargetKind.STORAGE_POOL})
_PREFIX = {TargetKind.NETWORK: "network", TargetKind.STORAGE_POOL: "pool"}
_AWAITED_S = 600.0  # in which the libvirt of an object from before a restart must be seen
_MOST_EARLY = 64  # events of objects that are not listed yet


@dataclass(frozen=True, slots=True)
class Listed:
    """Hold what a listing means: what is new, what is gone, and events that come of it, in their order."""

    new: tuple[LibvirtObjectTarget, ...]
    gone: tuple[LibvirtObjectTarget, ...]
    events: tuple[TargetEvent, ...]


class Objects:
    """Know every virtual network and storage pool by its UUID; the first connection that shows one counts."""

    def __init__(self, node: str, windows: WindowBudget) -> None:
        self._node = node
        self._windows = windows
        self._awaited_until = float("-inf")
        self._early: deque[TargetEvent] = deque(maxlen=_MOST_EARLY)
        self.targets: dict[TargetRef, LibvirtObjectTarget] = {}

    def restore(self, restored: Restored, *, clock: float) -> None:
        """Take back what was there before a restart, and its alerts; a listing will say what of it still is.

        `clock` is monotonic seconds.
        """
        for known in restored.objects:
            self.targets[known.target] = LibvirtObjectTarget(known, self._node, self._windows)
            self.targets[known.target].awaited = True
        self._awaited_until = clock + _AWAITED_S
        for alert in restored.alerts:
            if (target := self.targets.get(alert.key.target)) is not None:
                target.restore(alert)

    def listed(self, listing: ObjectsListed) -> Listed:
        """Compare what a connection shows with what is known."""
        shown = {seen.target for seen in listing.objects}
        early = [event for event in self._early if event.target in shown]
        for event in early:
            self._early.remove(event)
        received = {(event.target, event.type) for event in early}
        new, events = [], []
        for seen in listing.objects:
            target = self.targets.get(seen.target)
            if target is None:
                target = self.targets[seen.target] = LibvirtObjectTarget(seen, self._node, self._windows)
            elif target.present and target.known_as.connection != seen.connection:
                continue
            elif target.known_as.active is not seen.active:
                changed = _changed(seen, at=listing.at)
                events += [] if (seen.target, changed.type) in received else [changed]
            target.known_as, target.awaited = seen, False
            if not target.present:
                new.append(target)
        gone = [
            target
            for ref, target in self.targets.items()
            if ref.kind is listing.kind and target.known_as.connection == listing.connection and ref not in shown
        ]
        return Listed(tuple(new), tuple(gone), (*events, *early))

    def received(self, event: TargetEvent) -> LibvirtObjectTarget | None:
        """Note what an event says of its object; None where it is not listed yet: the event waits for that."""
        target = self.targets.get(event.target)
        if target is None or not target.present:
            self._early.append(event)
            return None
        target.known_as = replace(target.known_as, active=event.type.endswith(".started"))
        return target

    @property
    def pools(self) -> Iterator[LibvirtObject]:
        """Yield the storage pools."""
        return (item.known_as for ref, item in self.targets.items() if ref.kind is TargetKind.STORAGE_POOL)

    @property
    def waits(self) -> bool:
        """Return whether objects from before a restart are waited for."""
        return any(target.awaited for target in self.targets.values())

    def missing(self, *, clock: float) -> list[LibvirtObjectTarget]:
        """Return, once, the objects from before a restart whose libvirt did not come back in time."""
        late = clock >= self._awaited_until
        missing = [target for target in self.targets.values() if target.awaited] if late else []
        for target in missing:
            target.awaited = False
        return missing

    def forget(self, ref: TargetRef) -> None:
        """Drop an object that is gone and has no alert left."""
        self.targets.pop(ref, None)


def _changed(seen: LibvirtObject, *, at: float) -> TargetEvent:
    turn = "started" if seen.active else "stopped"
    return TargetEvent(f"{_PREFIX[seen.target.kind]}.{turn}", seen.target, at, inferred=True)
