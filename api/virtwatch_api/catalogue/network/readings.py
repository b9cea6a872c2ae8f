"""The readings of a virtual network: what libvirt says, and what the kernel counts at its bridge's ports.

A bridge counts by itself only what goes to and from its host; what its VMs send each other is counted at its ports.
"""

from virtwatch_api.catalogue import absences
from virtwatch_api.catalogue.entries import Instrument, Reading, Source, TargetKind

_NO_BRIDGE = "the network is stopped, or has no bridge on this host"
_PORT = "network.interface.name"


def _reading(
    key: str,
    metric: str,
    unit: str,
    description: str,
    *,
    counter: bool = False,
    device: str | None = None,
    absent: str = "",
    also_absent: tuple[str, ...] = (),
) -> Reading:
    return Reading(
        key,
        f"libvirt.network.{metric}",
        unit,
        Instrument.COUNTER if counter else Instrument.GAUGE,
        Source.NETWORK,
        description,
        device=device,
        target=TargetKind.NETWORK,
        absent=absent,
        also_absent=also_absent,
    )


READINGS: tuple[Reading, ...] = (
    _reading("network.state", "active", "1", "Whether the virtual network is started: 1 or 0."),
    _reading(
        "bridge.bytes",
        "bridge.io",
        "By",
        "Bytes that enter the bridge at one of its ports.",
        counter=True,
        device=_PORT,
        absent=_NO_BRIDGE,
    ),
    _reading(
        "bridge.packets",
        "bridge.packet.count",
        "{packet}",
        "Packets that enter the bridge at a port.",
        counter=True,
        device=_PORT,
        absent=_NO_BRIDGE,
    ),
    _reading(
        "bridge.drops",
        "bridge.packet.dropped",
        "{packet}",
        "Packets that are dropped at a port of the bridge, in either direction.",
        counter=True,
        device=_PORT,
        absent=_NO_BRIDGE,
    ),
    _reading(
        "bridge.errors",
        "bridge.errors",
        "{error}",
        "Errors at a port of the bridge, in either direction.",
        counter=True,
        device=_PORT,
        absent=_NO_BRIDGE,
    ),
    _reading(
        "leases",
        "lease.count",
        "{lease}",
        "DHCP leases that have not expired.",
        absent="the network is stopped, or its driver knows no leases",
        also_absent=(absences.NO_LEASES_KNOWN,),
    ),
    _reading(
        "lease.addresses",
        "lease.limit",
        "{lease}",
        "Addresses of the network's DHCP ranges.",
        absent="the network is stopped, or gives no addresses by DHCP",
        also_absent=(absences.NO_LEASES_KNOWN,),
    ),
)
