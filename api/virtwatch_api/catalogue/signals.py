"""Every signal: what a rule judges. A new one is one entry here and, where the reading is new too, one in a source."""

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.formulas import Across, Formula, Rate, RateRatio, Signal, Value
from virtwatch_api.catalogue.network.signals import SIGNALS as _NETWORK
from virtwatch_api.catalogue.node.signals import SIGNALS as _NODE
from virtwatch_api.catalogue.storage_pool.signals import SIGNALS as _STORAGE_POOL
from virtwatch_api.catalogue.virtual_machine.signals import SIGNALS as _VIRTUAL_MACHINE

__all__ = ["SIGNAL", "SIGNALS", "Across", "Formula", "Rate", "RateRatio", "Signal", "TargetKind", "Value"]

SIGNALS: tuple[Signal, ...] = (*_VIRTUAL_MACHINE, *_NODE, *_NETWORK, *_STORAGE_POOL)

SIGNAL = {signal.name: signal for signal in SIGNALS}
