"""What the kernel counts for the node's own NICs. psutil would read those of the agent's pod."""

from pathlib import Path

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.node.source import NodeSource
from virtwatch_agent.observations import Series

# Columns of net/dev: received first, then transmitted.
_COLUMNS = {"bytes": 0, "packets": 1, "errors": 2, "drops": 3}
_TRANSMITTED = 8


class NetworkReader(NodeSource):
    """Read bytes, packets, errors and drops by NIC."""

    def __init__(self, proc: Path, sys: Path) -> None:
        """`proc` and `sys` are the host's: its first process is in the host's network namespace."""
        self._counters = proc / "1" / "net" / "dev"
        self._interfaces = sys / "class" / "net"

    def __call__(self) -> Found:
        """Return the readings of each NIC that is a device or a bond of some; where there is none, of all but lo."""
        lines = [line.partition(":") for line in self._counters.read_text().splitlines() if ":" in line]
        counted = {name.strip(): figures.split() for name, _, figures in lines}
        chosen = {name for name in counted if self._own(name)} or counted.keys() - {"lo"}
        values: dict[Series, float] = {}
        for name in sorted(chosen):
            for what, column in _COLUMNS.items():
                values[f"node.network.receive.{what}", name] = float(counted[name][column])
                values[f"node.network.transmit.{what}", name] = float(counted[name][column + _TRANSMITTED])
        return Found(values)

    def _own(self, name: str) -> bool:
        return any((self._interfaces / name / sign).exists() for sign in ("device", "bonding"))
