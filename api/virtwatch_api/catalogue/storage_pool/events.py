"""The events of a storage pool."""

from virtwatch_api.catalogue.entries import EventSeverity, EventType, TargetKind


def _planned(name: str, severity: EventSeverity, description: str) -> EventType:
    return EventType(name, f"libvirt.{name}", severity, description, (TargetKind.STORAGE_POOL,), implemented=False)


EVENTS: tuple[EventType, ...] = (
    _planned("pool.started", EventSeverity.INFO, "A storage pool started."),
    _planned("pool.stopped", EventSeverity.WARNING, "A storage pool stopped."),
)
