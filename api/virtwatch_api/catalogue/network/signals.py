"""The signals of a virtual network."""

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.formulas import Signal


def _planned(name: str, unit: str, description: str, *, bad_value: str, remedy: str) -> Signal:
    return Signal(name, unit, description, None, TargetKind.NETWORK, bad_value=bad_value, remedy=remedy)


SIGNALS: tuple[Signal, ...] = (
    _planned(
        "network.throughput.rate",
        "By/s",
        "Bytes per second over a virtual network's bridge.",
        bad_value="The VMs of the network move more data than planned.",
        remedy="Find the VM with the most traffic; set a bandwidth limit for its NIC if it is not wanted.",
    ),
    _planned(
        "network.drops.rate",
        "{packet}/s",
        "Packets per second that a virtual network's bridge drops.",
        bad_value="The bridge or a guest behind it does not keep up.",
        remedy="Look at the dropped packets of the VMs' NICs, and at the node's CPU.",
    ),
    _planned(
        "network.leases",
        "{lease}",
        "DHCP leases of a virtual network.",
        bad_value="The network is about to have no address left for a new VM.",
        remedy="Extend the network's DHCP range, or remove VMs that nobody uses.",
    ),
)
