"""The signals of a virtual network."""

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.formulas import Signal


def _planned(name: str, unit: str, description: str) -> Signal:
    return Signal(name, unit, description, None, TargetKind.NETWORK)


SIGNALS: tuple[Signal, ...] = (
    _planned("network.throughput.rate", "By/s", "Bytes per second over a virtual network's bridge."),
    _planned("network.drops.rate", "{packet}/s", "Packets per second that a virtual network's bridge drops."),
    _planned("network.leases", "{lease}", "DHCP leases of a virtual network."),
)
