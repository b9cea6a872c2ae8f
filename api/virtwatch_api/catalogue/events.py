from dataclasses import dataclass
from enum import StrEnum

from virtwatch_api.catalogue.signals import TargetKind


class EventSeverity(StrEnum):
    """Grade an event for logs; OTel severity numbers are 9, 13 and 17."""

    INFO = "Info"
    WARNING = "Warning"
    ERROR = "Error"


@dataclass(frozen=True, slots=True)
class EventType:
    """Describe one type of event: its name in rules, its OTel event name and the attributes that `where` may match."""

    name: str
    otel_name: str
    severity: EventSeverity
    description: str
    attributes: tuple[str, ...] = ()
    implemented: bool = True

    @property
    def targets(self) -> tuple[TargetKind, ...]:
        """Name what a policy must watch for its rules to see the event; a connection concerns a node and its VMs."""
        return _TARGETS[self.name.split(".")[0]]


_TARGETS = {
    "vm": (TargetKind.VIRTUAL_MACHINE,),
    "libvirt": (TargetKind.VIRTUAL_MACHINE, TargetKind.NODE),
    "network": (TargetKind.NETWORK,),
    "pool": (TargetKind.STORAGE_POOL,),
}


def _event(name: str, severity: EventSeverity, description: str, *attributes: str) -> EventType:
    return EventType(name, "libvirt.domain." + name.removeprefix("vm."), severity, description, attributes)


def _planned(name: str, otel_name: str, severity: EventSeverity, description: str, *attributes: str) -> EventType:
    return EventType(name, otel_name, severity, description, attributes, implemented=False)


_I, _W, _E = EventSeverity.INFO, EventSeverity.WARNING, EventSeverity.ERROR

EVENTS: tuple[EventType, ...] = (
    _event("vm.started", _I, "The VM started: booted, restored or migrated in.", "reason"),
    _event(
        "vm.stopped",
        _I,
        "The VM stopped; reason is shutdown, destroyed, crashed, migrated, saved, failed, snapshot, lost or unknown.",
        "reason",
    ),
    _event("vm.crashed", _E, "The guest panicked, or its QEMU ended by itself.", "reason"),
    _event("vm.paused", _W, "The VM is paused; reason is user, migration, ioerror, watchdog, postcopy, …", "reason"),
    _event("vm.resumed", _I, "The VM runs again after a pause.", "reason"),
    _event("vm.rebooted", _I, "The guest rebooted; libvirt's repeats of one reboot are said once."),
    _event("vm.io_error", _E, "A disk failed an operation; action says what QEMU did.", "action", "reason", "device"),
    _event("vm.watchdog", _E, "The guest's watchdog expired; action says what QEMU did.", "action"),
    _event("vm.telemetry_stuck", _W, "The VM's monitor does not answer; its last values grow old.", "reason"),
    _event("vm.telemetry_recovered", _I, "The VM's monitor answers again."),
    EventType("libvirt.lost", "libvirt.connection.lost", _W, "A connection to libvirt was lost."),
    EventType("libvirt.restored", "libvirt.connection.restored", _I, "A connection to libvirt is back."),
    _planned("vm.block_threshold", "libvirt.domain.block_threshold", _W, "A disk grew past its threshold.", "device"),
    _planned("vm.agent_connected", "libvirt.domain.agent.connected", _I, "The guest agent connected."),
    _planned("vm.agent_disconnected", "libvirt.domain.agent.disconnected", _W, "The guest agent went away."),
    _planned(
        "vm.memory_failure", "libvirt.domain.memory_failure", _E, "The host's memory failed under the VM.", "action"
    ),
    _planned("vm.device_removed", "libvirt.domain.device_removed", _I, "A device was unplugged.", "device"),
    _planned("vm.migration_started", "libvirt.domain.migration.started", _I, "A live migration began."),
    _planned("vm.migration_completed", "libvirt.domain.migration.completed", _I, "A live migration ended well."),
    _planned("vm.migration_failed", "libvirt.domain.migration.failed", _W, "A live migration failed.", "reason"),
    _planned("pool.started", "libvirt.pool.started", _I, "A storage pool started."),
    _planned("pool.stopped", "libvirt.pool.stopped", _W, "A storage pool stopped."),
    _planned("network.started", "libvirt.network.started", _I, "A virtual network started."),
    _planned("network.stopped", "libvirt.network.stopped", _W, "A virtual network stopped."),
)

EVENT = {event.name: event for event in EVENTS}
