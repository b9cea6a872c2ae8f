"""For how long tasks of the node stalled for lack of CPU, memory or I/O (PSI), by the kernel's own sums."""

from pathlib import Path

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.node.source import NodeSource
from virtwatch_agent.collect.pressure_file import stalled_seconds
from virtwatch_agent.observations import Series
from virtwatch_api.catalogue.entries import Source

RESOURCES = ("cpu", "memory", "io")


class PressureReader(NodeSource):
    """Read the stalls of the whole node."""

    def __init__(self, proc: Path) -> None:
        """`proc` is the host's /proc."""
        self._folder = proc / "pressure"

    def __call__(self) -> Found:
        """Return seconds by resource."""
        values: dict[Series, float] = {}
        unavailable: dict[str, str] = {}
        for resource in RESOURCES:
            stalls = ("some",) if resource == "cpu" else ("some", "full")
            try:
                seconds = stalled_seconds((self._folder / resource).read_text())
            except OSError:
                why = Source.NODE_PRESSURE.absence
                unavailable |= {f"node.pressure.{resource}.{stall}": why for stall in stalls}
                continue
            values |= {(f"node.pressure.{resource}.{stall}", ""): seconds[stall] for stall in stalls}
        return Found(values, unavailable)
