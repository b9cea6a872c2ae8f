"""All sources of this node behind one seam: a plan goes to whoever reads that kind of target."""

from collections.abc import Callable, Mapping

from virtwatch_agent.collect.node.collector import NodeCollector
from virtwatch_agent.collect.node.reader import Allocated
from virtwatch_agent.seams import Clock, Collector, Deliver
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TargetRef


class Sources(Collector):
    """Join one collector per kind of target."""

    def __init__(self, collectors: Mapping[TargetKind, Collector]) -> None:
        self._collectors = collectors

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""
        for collector in self._collectors.values():
            collector.start(deliver)

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Say how often (seconds) each source is asked for a target; a source that is absent is not asked."""
        self._collectors[target.kind].plan(target, intervals)

    def launchers(self, pods: frozenset[str]) -> None:
        """Say which pods are VMs' launchers."""
        for collector in self._collectors.values():
            collector.launchers(pods)

    def stop(self) -> None:
        """End within 5 s."""
        for collector in self._collectors.values():
            collector.stop()


def all_sources(virtual_machines: Collector, allocated: Callable[[], tuple[int, float]], clock: Clock) -> Sources:
    """Join what collects VMs with what reads the node; `allocated` returns what VMs may use: vCPUs, and bytes."""
    node = NodeCollector(lambda: Allocated(*allocated()), clock)
    return Sources({TargetKind.VIRTUAL_MACHINE: virtual_machines, TargetKind.NODE: node})
