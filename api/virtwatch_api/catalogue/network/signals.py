"""The signals of a virtual network."""

from virtwatch_api.catalogue.entries import NOT_NEGATIVE, SHARE, Range, TargetKind
from virtwatch_api.catalogue.formulas import Across, Formula, Rate, Signal, Value


def _signal(
    name: str,
    unit: str,
    description: str,
    formula: Formula,
    range_: Range = NOT_NEGATIVE,
    *,
    bad_value: str,
    remedy: str,
) -> Signal:
    return Signal(name, unit, description, formula, TargetKind.NETWORK, range_, bad_value, remedy)


SIGNALS: tuple[Signal, ...] = (
    _signal(
        "network.active",
        "1",
        "Whether a virtual network is started, or the bridge of an attached one is up: 1 or 0.",
        Value("network.state"),
        bad_value="The network is stopped, or the bridge of an attached one is down: its VMs reach nobody.",
        remedy="Start it with virsh net-start, or set the bridge up; see in the host's log why it stopped.",
    ),
    _signal(
        "network.throughput.rate",
        "By/s",
        "Bytes per second over a virtual network's bridge, between its VMs too.",
        Rate(("bridge.bytes",), across=Across.SUM),
        bad_value="The VMs of the network move more data than planned.",
        remedy="Find the VM with the most traffic; set a bandwidth limit for its NIC if it is not wanted.",
    ),
    _signal(
        "network.packets.rate",
        "{packet}/s",
        "Packets per second over a virtual network's bridge, between its VMs too.",
        Rate(("bridge.packets",), across=Across.SUM),
        bad_value="Many small packets cost the node much CPU.",
        remedy="Find the VM with the most packets.",
    ),
    _signal(
        "network.drops.rate",
        "{packet}/s",
        "Packets per second that are dropped at the ports of a virtual network's bridge.",
        Rate(("bridge.drops",), across=Across.SUM),
        bad_value="The bridge or a guest behind it does not keep up.",
        remedy="Look at the dropped packets of the VMs' NICs, and at the node's CPU.",
    ),
    _signal(
        "network.errors.rate",
        "{error}/s",
        "Errors per second at the ports of a virtual network's bridge.",
        Rate(("bridge.errors",), across=Across.SUM),
        bad_value="A port of the bridge, or what is behind it, is broken.",
        remedy="Look at `ip -s link` of the bridge's ports on the node.",
    ),
    _signal(
        "network.leases",
        "{lease}",
        "DHCP leases of a virtual network.",
        Value("leases"),
        bad_value="More VMs use the network than planned.",
        remedy="See with virsh net-dhcp-leases whose they are.",
    ),
    _signal(
        "network.leases.ratio",
        "1",
        "DHCP leases of a virtual network as a share of its addresses.",
        Value("leases", per="lease.addresses"),
        SHARE,
        bad_value="The network is about to have no address left for a new VM.",
        remedy="Extend the network's DHCP range, or remove VMs that nobody uses.",
    ),
)
