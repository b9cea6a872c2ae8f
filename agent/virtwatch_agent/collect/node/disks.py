"""What psutil says of the node's disks: whole ones, neither partitions nor what holds no data of its own."""

from pathlib import Path

import psutil

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.node.source import NodeSource
from virtwatch_agent.observations import Series
from virtwatch_api.catalogue.entries import Source

_NO_DISKS = ("loop", "ram", "zram", "sr", "fd")
_MILLISECOND = 1e-3


class DiskReader(NodeSource):
    """Read bytes, operations and seconds by disk, since the node started."""

    def __init__(self, sys: Path) -> None:
        """`sys` is the host's /sys."""
        self._blocks = sys / "block"

    def __call__(self) -> Found:
        """Return the readings of every disk."""
        values: dict[Series, float] = {}
        # A counter that wraps is reported from its own last value, as every other.
        for disk, io in psutil.disk_io_counters(perdisk=True, nowrap=False).items():
            if disk.startswith(_NO_DISKS) or not (self._blocks / disk.replace("/", "!")).exists():
                continue
            values["node.disk.read.bytes", disk] = io.read_bytes
            values["node.disk.read.operations", disk] = io.read_count
            values["node.disk.read.time", disk] = io.read_time * _MILLISECOND
            values["node.disk.write.bytes", disk] = io.write_bytes
            values["node.disk.write.operations", disk] = io.write_count
            values["node.disk.write.time", disk] = io.write_time * _MILLISECOND
            values["node.disk.busy", disk] = io.busy_time * _MILLISECOND
        if values:
            return Found(values)
        keys = [f"node.disk.{way}.{what}" for way in ("read", "write") for what in ("bytes", "operations", "time")]
        return Found({}, dict.fromkeys([*keys, "node.disk.busy"], Source.NODE_DISKS.absence))
