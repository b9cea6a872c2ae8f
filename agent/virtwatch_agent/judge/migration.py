"""The live migrations of one VM, as the node that it leaves, or to which it comes, can report them: pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from virtwatch_agent.observations import KubernetesIdentity, TargetEvent
from virtwatch_api.targets import TargetRef

STARTED, COMPLETED, FAILED = "vm.migration_started", "vm.migration_completed", "vm.migration_failed"
_AWAY = frozenset({"migration", "postcopy"})  # why a VM that leaves is paused
_COMING = frozenset({"migration", "starting"})  # why one that comes is
_NONE: Mapping[str, str] = {}


class Under(StrEnum):
    """Say which migration is under way, seen from this node; the journal keeps the word."""

    NONE = ""
    OUT = "out"
    IN = "in"


@dataclass(slots=True)
class Migration:
    """Follow one VM's migrations: each start, success and failure is said once, in however many ways it is received.

    libvirt shows one that leaves by its job, by a pause and by the end of the domain, the API by the VMI. What ends
    before it ever ran here has neither crashed nor stopped: the VM is where it was.
    """

    under: Under = Under.NONE
    _uid: str = field(default="", init=False)  # the API's, of what is under way
    _over: str = field(default="", init=False)  # and of what was said to be over

    def around(self, event: TargetEvent, *, running: bool) -> list[TargetEvent]:
        """Return an event of the VM with what it says of a migration, in order; nothing of one that was said.

        `running` tells whether the VM runs now.
        """
        was, reason = self.under, event.attributes.get("reason", "")
        match event.type:
            case "vm.migration_started":
                self.under = Under.OUT
                return [event] if was is not Under.OUT else []
            case "vm.migration_failed":
                return [self._end(event)] if was is Under.OUT else []
            case "vm.paused" if reason in _AWAY and was is Under.NONE:
                self.under = Under.OUT
                return [_of(event, STARTED), event]
            case "vm.started":
                self.under = Under.IN if reason == "migrated" and not running else Under.NONE
                arrived = reason == "migrated" and running
                return [event, _of(event, COMPLETED, role="target")] if arrived else [event]
            case "vm.resumed" if reason == "migrated" and was is Under.OUT:
                return [event, self._end(_of(event, FAILED))]
            case "vm.resumed" if was is Under.IN:
                return self._runs(event, reason)
            case "vm.paused" if was is Under.IN and reason not in _COMING:  # it was paused where it came from
                return [event, self._end(_of(event, COMPLETED, role="target"))]
            case "vm.crashed" if was is Under.IN:
                return []
            case "vm.stopped":
                return self._stopped(event, reason)
        return [event]

    def _runs(self, event: TargetEvent, reason: str) -> list[TargetEvent]:
        """Take that a VM that came runs here: from now on it can stop, though in post-copy its memory still comes."""
        completed = self._end(_of(event, COMPLETED, role="target"))
        return [event] if reason == "postcopy" else [event, completed]

    def _stopped(self, event: TargetEvent, reason: str) -> list[TargetEvent]:
        was = self.under
        self._end(event)
        if was is Under.IN:
            return [replace(event, attributes={"reason": "migrated"})]
        if reason == "migrated":
            return [_of(event, COMPLETED, role="source"), event]
        return [_of(event, FAILED, reason="stopped"), event] if was is Under.OUT else [event]

    def reported_by_api(
        self, identity: KubernetesIdentity | None, target: TargetRef, *, at: float
    ) -> TargetEvent | None:
        """Return what the VMI says of a migration that takes the VM away from here; `around` drops what was said."""
        if identity is None:
            return None
        if identity.migrating and identity.migrating != self._over:
            self._uid = identity.migrating
            return TargetEvent(STARTED, target, at)
        if not identity.migrating and identity.migration_failed:
            return TargetEvent(FAILED, target, at, {"reason": identity.migration_failed})
        return None

    def _end(self, event: TargetEvent) -> TargetEvent:
        self.under, self._over = Under.NONE, self._uid
        return event


def _of(event: TargetEvent, type_: str, **attributes: str) -> TargetEvent:
    return replace(event, type=type_, attributes=attributes or _NONE)
