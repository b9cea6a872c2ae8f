"""Every source of the node's readings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.node.agent import AgentReader
from virtwatch_agent.collect.node.disks import DiskReader
from virtwatch_agent.collect.node.libvirt_state import LibvirtState, LibvirtStateReader
from virtwatch_agent.collect.node.network import NetworkReader
from virtwatch_agent.collect.node.pages import PageReader
from virtwatch_agent.collect.node.pressure import PressureReader
from virtwatch_agent.collect.node.reader import Allocated, BasicReader
from virtwatch_agent.collect.node.source import NodeSource
from virtwatch_api.catalogue.readings import Source


@dataclass(frozen=True, slots=True)
class Hypervisors:
    """Ask what collects VMs what it knows of the node's hypervisors."""

    allocated: Callable[[], Allocated] = Allocated
    state: Callable[[], LibvirtState] = LibvirtState


def node_sources(
    cost: CostMeter,
    hypervisors: Hypervisors = Hypervisors(),
    *,
    proc: Path = Path("/proc"),
    sys: Path = Path("/sys"),
) -> Mapping[Source, NodeSource]:
    """Return the sources; `proc` and `sys` are the host's."""
    return {
        Source.NODE: BasicReader(hypervisors.allocated),
        Source.NODE_DISKS: DiskReader(sys),
        Source.NODE_NETWORK: NetworkReader(proc, sys),
        Source.NODE_PRESSURE: PressureReader(proc),
        Source.NODE_PAGES: PageReader(sys),
        Source.NODE_LIBVIRT: LibvirtStateReader(hypervisors.state),
        Source.AGENT: AgentReader(cost.read),
    }
