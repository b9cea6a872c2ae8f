"""Every event: what an event rule fires on, what ends its alert, and what OTLP carries as log records."""

from virtwatch_api.catalogue.entries import Attribute, EventSeverity, EventType
from virtwatch_api.catalogue.network.events import EVENTS as _NETWORK
from virtwatch_api.catalogue.node.events import EVENTS as _NODE
from virtwatch_api.catalogue.storage_pool.events import EVENTS as _STORAGE_POOL
from virtwatch_api.catalogue.virtual_machine.events import EVENTS as _VIRTUAL_MACHINE

__all__ = ["EVENT", "EVENTS", "Attribute", "EventSeverity", "EventType"]

EVENTS: tuple[EventType, ...] = (*_VIRTUAL_MACHINE, *_NODE, *_STORAGE_POOL, *_NETWORK)

EVENT = {event.name: event for event in EVENTS}
