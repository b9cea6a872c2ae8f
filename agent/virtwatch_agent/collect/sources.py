"""All sources of this node behind one seam: a plan goes to whoever reads that kind of target."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.guest.collector import GuestCollector
from virtwatch_agent.collect.guest.reader import GuestReader, nobody_asks
from virtwatch_agent.collect.network.bridges import Bridges
from virtwatch_agent.collect.network.networks import NetworkReader
from virtwatch_agent.collect.node.collector import NodeCollector
from virtwatch_agent.collect.node.libvirt_state import LibvirtState
from virtwatch_agent.collect.node.reader import Allocated
from virtwatch_agent.collect.node.registry import Hypervisors, node_sources
from virtwatch_agent.collect.objects.collector import ObjectCollector
from virtwatch_agent.collect.paced import PacedCollector
from virtwatch_agent.collect.pressure_triggers import PressureTriggers
from virtwatch_agent.collect.storage.pools import PoolReader
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.seams import Clock, Collector, Deliver
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TargetRef


class Sources(Collector):
    """Join one collector per kind of target."""

    def __init__(self, collectors: Mapping[TargetKind, Collector], pressure: PressureTriggers) -> None:
        self._collectors = collectors
        self._pressure = pressure

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""
        for collector in self._collectors.values():
            collector.start(deliver)
        self._pressure.start(deliver)

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Say how often (seconds) each source is asked for a target; a source that is absent is not asked."""
        self._collectors[target.kind].plan(target, intervals)

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        """Say which sources are asked at a random instant of so many seconds."""
        self._collectors[target.kind].scatter(target, within)

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        """Ask a source of a target once more, at an instant."""
        self._collectors[target.kind].look_again(target, source, at)

    def glance(self, target: TargetRef, bounds: Mapping[str, Sequence[float]]) -> None:
        """Glance at a target between its looks."""
        self._collectors[target.kind].glance(target, bounds)

    def launchers(self, pods: frozenset[str]) -> None:
        """Say which pods are VMs' launchers."""
        for collector in self._collectors.values():
            collector.launchers(pods)

    def stop(self) -> None:
        """End within 5 s."""
        self._pressure.stop()
        for collector in self._collectors.values():
            collector.stop()


class Host(Protocol):
    """Tell the node's sources what collects VMs knows of the node; from any thread."""

    def allocated(self) -> tuple[int, float]:
        """Return what running VMs may use: vCPUs, and bytes of memory."""
        ...

    def connections(self) -> tuple[int, int]:
        """Return how many libvirt daemons are known, and how many of them cannot be reached."""
        ...

    def stuck(self) -> int:
        """Return how many VMs' monitors do not answer."""
        ...


def all_sources(
    virtual_machines: Collector,
    host: Host,
    clock: Clock,
    cost: CostMeter,
    *,
    proc: Path = Path("/proc"),
    sys: Path = Path("/sys"),
    addresses: Iterable[LibvirtAddress] = (),
    guests: GuestReader = nobody_asks,
    attached: Callable[[Collector, Bridges], Collector] | None = None,
) -> Collector:
    """Join what collects VMs with what reads the node, and the storage pools and networks at `addresses`.

    `proc` and `sys` are the host's; `guests` asks guests. `attached` puts networks beside libvirt's that VMs hang on.
    """
    hypervisors = Hypervisors(
        lambda: Allocated(*host.allocated()), lambda: LibvirtState(*host.connections(), host.stuck())
    )
    node = NodeCollector(node_sources(cost, hypervisors, proc=proc, sys=sys), clock, cost)
    networks = ObjectCollector(NetworkReader(sys, clock), addresses, clock)
    joined = Sources(
        {
            TargetKind.VIRTUAL_MACHINE: GuestCollector(virtual_machines, guests, clock),
            TargetKind.NODE: node,
            TargetKind.STORAGE_POOL: ObjectCollector(PoolReader(clock), addresses, clock),
            TargetKind.NETWORK: networks if attached is None else attached(networks, Bridges(sys)),
        },
        PressureTriggers(clock),
    )
    return PacedCollector(joined, cost)
