"""What the agent knows of the hypervisors of its node."""

from collections.abc import Callable
from dataclasses import dataclass

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.node.source import NodeSource


@dataclass(frozen=True, slots=True)
class LibvirtState:
    """Count libvirt daemons that are known, those of them that cannot be reached, and VMs that do not answer."""

    connections: int = 0
    lost: int = 0
    stuck: int = 0


class LibvirtStateReader(NodeSource):
    """Read how the agent's connections to libvirt are."""

    def __init__(self, state: Callable[[], LibvirtState]) -> None:
        self._state = state

    def __call__(self) -> Found:
        """Return the counts."""
        state = self._state()
        return Found(
            {
                ("node.libvirt.connections", ""): float(state.connections),
                ("node.libvirt.lost", ""): float(state.lost),
                ("node.libvirt.stuck", ""): float(state.stuck),
            }
        )
