"""The events of a node; a connection to libvirt concerns the node and its VMs."""

from virtwatch_api.catalogue.entries import EventSeverity, EventType, TargetKind

_BOTH = (TargetKind.VIRTUAL_MACHINE, TargetKind.NODE)

EVENTS: tuple[EventType, ...] = (
    EventType(
        "libvirt.lost", "libvirt.connection.lost", EventSeverity.WARNING, "A connection to libvirt was lost.", _BOTH
    ),
    EventType(
        "libvirt.restored", "libvirt.connection.restored", EventSeverity.INFO, "A connection to libvirt is back.", _BOTH
    ),
)
