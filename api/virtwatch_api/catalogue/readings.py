"""Every reading: what a source measures and OTLP exports, raw, a counter or a gauge. Signals are derived from them."""

from virtwatch_api.catalogue.entries import Instrument, Reading, Source
from virtwatch_api.catalogue.network.readings import READINGS as _NETWORK
from virtwatch_api.catalogue.node.readings import READINGS as _NODE
from virtwatch_api.catalogue.storage_pool.readings import READINGS as _STORAGE_POOL
from virtwatch_api.catalogue.virtual_machine.readings import READINGS as _VIRTUAL_MACHINE

__all__ = ["READING", "READINGS", "Instrument", "Reading", "Source"]

READINGS: tuple[Reading, ...] = (*_VIRTUAL_MACHINE, *_NODE, *_NETWORK, *_STORAGE_POOL)

READING = {reading.key: reading for reading in READINGS}
