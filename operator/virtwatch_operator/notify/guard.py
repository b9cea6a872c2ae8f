"""Where a tenant's channel may not reach: this machine, its link, and networks that the admin lists. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

# ::ffff:0:0/96 is unwrapped by ip_address; these hold IPv4 addresses as well.
_WRAPPED = (ip_network("64:ff9b::/96"), ip_network("::/96"))


# Where clouds tell an instance its own credentials, besides 169.254.169.254, which is link-local.
_METADATA = tuple(ip_network(text) for text in ("100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128"))


class OutOfBoundsError(OSError):
    """Say that a channel leads to an address where it may not go, and why."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"its address leads to {address}, which {reason}; only channels of the operator's namespace may go there"
        )


@dataclass(frozen=True, slots=True)
class Guard:
    """Hold what is out of bounds; a guard that is `free` refuses nothing."""

    denied: tuple[Network, ...] = ()
    free: bool = False

    def refuses(self, address: str) -> str:
        """Return why an address is out of bounds, empty where it is not; a text that is no IP address is refused."""
        if self.free:
            return ""
        try:
            found = _unwrapped(ip_address(address.partition("%")[0]))
        except ValueError:
            return "is no IP address"
        if found.is_loopback or found.is_unspecified:
            return "is the operator's own machine"
        if found.is_link_local:
            return "is link-local"
        if found.is_multicast:
            return "is a multicast address"
        if any(found.version == network.version and found in network for network in _METADATA):
            return "is a cloud's own address"
        for network in self.denied:
            if found.version == network.version and found in network:
                return f"is in {network}, which the administrator excludes"
        return ""

    def encode(self) -> dict[str, object]:
        """Write the guard for another process."""
        return {"denied": [str(item) for item in self.denied], "free": self.free}


def read_guard(document: dict[str, object]) -> Guard:
    """Read what `encode` wrote."""
    denied = document["denied"]
    assert isinstance(denied, list)
    return Guard(parse_networks(denied), free=bool(document["free"]))


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks such as "10.0.0.0/8".

    Raises:
        ValueError: one is no network.
    """
    return tuple(ip_network(text, strict=False) for text in texts)


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if int(address) > 1 and any(address in network for network in _WRAPPED):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
