"""What the kernel counts at a bridge of this host and its ports."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from virtwatch_agent.observations import Series

# What enters a bridge: what a port receives, and what the host itself sends into it.
_ENTERS = {"bytes": "bridge.bytes", "packets": "bridge.packets"}
_LOST = {"dropped": "bridge.drops", "errors": "bridge.errors"}


class Bridges:
    """Read bridges by name."""

    def __init__(self, sys: Path) -> None:
        """`sys` is the host's /sys."""
        self._interfaces = sys / "class" / "net"

    def read(self, bridge: str) -> Mapping[Series, float]:
        """Return the readings of a bridge by port; nothing where there is no such bridge in this network namespace."""
        return dict(self._counts(bridge))

    def is_up(self, bridge: str) -> bool:
        """Return whether a bridge is there and up."""
        try:
            return (self._interfaces / bridge / "operstate").read_text().strip() in ("up", "unknown")
        except OSError:
            return False

    def _counts(self, bridge: str) -> Iterator[tuple[Series, float]]:
        ports = self._interfaces / bridge / "brif"
        try:
            names = sorted(path.name for path in ports.iterdir())
        except OSError:
            return
        for name, into in ((bridge, "tx"), *((name, "rx") for name in names)):
            for counter, key in _ENTERS.items():
                if (count := self._count(name, f"{into}_{counter}")) is not None:
                    yield (key, name), count
            for counter, key in _LOST.items():
                counts = [self._count(name, f"{direction}_{counter}") for direction in ("rx", "tx")]
                known = [count for count in counts if count is not None]
                if known:
                    yield (key, name), sum(known)

    def _count(self, interface: str, counter: str) -> float | None:
        try:
            return float((self._interfaces / interface / "statistics" / counter).read_text())
        except (OSError, ValueError):
            return None  # the port was unplugged meanwhile
