"""The events of a virtual network."""

from virtwatch_api.catalogue.entries import EventSeverity, EventType, TargetKind


def _planned(name: str, severity: EventSeverity, description: str) -> EventType:
    return EventType(name, f"libvirt.{name}", severity, description, (TargetKind.NETWORK,), implemented=False)


EVENTS: tuple[EventType, ...] = (
    _planned("network.started", EventSeverity.INFO, "A virtual network started."),
    _planned("network.stopped", EventSeverity.WARNING, "A virtual network stopped."),
)
