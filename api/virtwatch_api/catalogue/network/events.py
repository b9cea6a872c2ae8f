"""The events of a virtual network."""

from virtwatch_api.catalogue.entries import EventSeverity, EventType, TargetKind


def _event(name: str, severity: EventSeverity, description: str) -> EventType:
    return EventType(name, f"libvirt.{name}", severity, description, (TargetKind.NETWORK,))


EVENTS: tuple[EventType, ...] = (
    _event("network.started", EventSeverity.INFO, "A virtual network started."),
    _event("network.stopped", EventSeverity.WARNING, "A virtual network stopped: its VMs are cut off."),
)
