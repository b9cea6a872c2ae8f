"""Reads libvirt's virtual networks, and the bridges behind them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt

from virtwatch_agent.collect.network.bridges import Bridges
from virtwatch_agent.collect.objects.reader import Heard, ObjectReader
from virtwatch_agent.observations import LibvirtObject, Series
from virtwatch_agent.seams import Clock
from virtwatch_api.catalogue.entries import Source, TargetKind
from virtwatch_api.targets import TargetRef

_EVENTS = {
    libvirt.VIR_NETWORK_EVENT_STARTED: "network.started",
    libvirt.VIR_NETWORK_EVENT_STOPPED: "network.stopped",
}


class NetworkReader(ObjectReader):
    """Read virtual networks."""

    kind = TargetKind.NETWORK
    source = Source.NETWORK

    def __init__(self, sys: Path, clock: Clock) -> None:
        """`sys` is the host's /sys."""
        self._bridges = Bridges(sys)
        self._clock = clock

    def listen(self, raw: libvirt.virConnect, received: Heard) -> Callable[[], None]:
        """Register for networks that start, stop, come and go."""

        def on_event(_: object, network: libvirt.virNetwork, event: int, __: int, ___: object) -> None:
            received(network.UUIDString(), _EVENTS.get(event, ""))

        callback = raw.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, on_event, None)
        return lambda: raw.networkEventDeregisterAny(callback)

    def list_all(self, raw: libvirt.virConnect, connection: str) -> tuple[LibvirtObject, ...]:
        """Return every network."""
        return tuple(
            LibvirtObject(
                TargetRef(self.kind, network.UUIDString()), network.name(), connection, bool(network.isActive())
            )
            for network in raw.listAllNetworks(0)
        )

    def read(self, raw: libvirt.virConnect, uuid: str, *, local: bool) -> Mapping[Series, float]:
        """Return a network's readings, and those of its bridge's ports."""
        network = raw.networkLookupByUUIDString(uuid)
        if not network.isActive():
            return {("network.state", ""): 0.0}
        values: dict[Series, float] = {("network.state", ""): 1.0}
        with suppress(libvirt.libvirtError):  # this driver knows no leases: absent
            now, leases = self._clock.time(), network.DHCPLeases()
            values["leases", ""] = float(sum(not lease["expirytime"] or lease["expirytime"] >= now for lease in leases))
        document = ET.fromstring(network.XMLDesc(0))  # noqa: S314 - libvirt is trusted
        if addresses := _addresses(document):
            values["lease.addresses", ""] = float(addresses)
        bridge = document.find("bridge")
        name = None if bridge is None else bridge.get("name")
        if local and name:
            values |= self._bridges.read(name)
        return values

    def forget(self, uuid: str) -> None:
        """Keep nothing of a network."""


def _addresses(document: ET.Element) -> int:
    """Count the addresses that DHCP may give."""
    count = 0
    for item in document.iterfind("ip/dhcp/range"):
        with suppress(ValueError):
            count += int(ip_address(item.get("end", ""))) - int(ip_address(item.get("start", ""))) + 1
    return max(0, count)
