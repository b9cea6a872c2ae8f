"""The events of a storage pool."""

from virtwatch_api.catalogue.entries import EventSeverity, EventType, TargetKind


def _event(name: str, severity: EventSeverity, description: str) -> EventType:
    return EventType(name, f"libvirt.storage_{name}", severity, description, (TargetKind.STORAGE_POOL,))


EVENTS: tuple[EventType, ...] = (
    _event("pool.started", EventSeverity.INFO, "A storage pool started."),
    _event("pool.stopped", EventSeverity.WARNING, "A storage pool stopped: VMs cannot start from its volumes."),
)
