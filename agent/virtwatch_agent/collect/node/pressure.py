"""For how long tasks of the node stalled for lack of CPU, memory or I/O (PSI), by the kernel's own sums."""

from pathlib import Path

from virtwatch_agent.collect.node.source import NodeReadings, NodeSource
from virtwatch_agent.observations import Series

RESOURCES = ("cpu", "memory", "io")
_MICROSECOND = 1e-6


def stalled(text: str) -> dict[str, float]:
    """Return the seconds of `some` and `full` from a pressure file."""
    lines = (line.split() for line in text.splitlines())
    return {fields[0]: int(fields[-1].removeprefix("total=")) * _MICROSECOND for fields in lines if fields}


class PressureReader(NodeSource):
    """Read the stalls of the whole node."""

    def __init__(self, proc: Path) -> None:
        """`proc` is the host's /proc."""
        self._folder = proc / "pressure"

    def __call__(self) -> NodeReadings:
        """Return seconds by resource."""
        values: dict[Series, float] = {}
        unavailable: dict[str, str] = {}
        for resource in RESOURCES:
            stalls = ("some",) if resource == "cpu" else ("some", "full")
            try:
                seconds = stalled((self._folder / resource).read_text())
            except OSError as error:
                why = (
                    f"the node's kernel tells no pressure: {self._folder / resource}: {error.strerror};"
                    " boot a kernel that has CONFIG_PSI with psi=1"
                )
                unavailable |= {f"node.pressure.{resource}.{stall}": why for stall in stalls}
                continue
            values |= {(f"node.pressure.{resource}.{stall}", ""): seconds[stall] for stall in stalls}
        return NodeReadings(values, unavailable)
