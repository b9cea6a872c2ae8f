"""A collector in front of another: it changes or reads some of what passes, and leaves the rest as it is."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from virtwatch_agent.seams import Collector, Deliver
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TargetRef


class PassingCollector(Collector):
    """Pass on to a collector all that is asked; how its observations are delivered is up to `start`."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    @abstractmethod
    def start(self, deliver: Deliver) -> None:
        """Begin."""

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Pass a plan on."""
        self._collector.plan(target, intervals)

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        """Pass on which sources are asked at random instants."""
        self._collector.scatter(target, within)

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        """Pass on that a source is asked once more."""
        self._collector.look_again(target, source, at)

    def glance(self, target: TargetRef, bounds: Mapping[str, Sequence[float]]) -> None:
        """Pass on that a target is glanced at."""
        self._collector.glance(target, bounds)

    def launchers(self, pods: frozenset[str]) -> None:
        """Pass on which pods are launchers."""
        self._collector.launchers(pods)

    def stop(self) -> None:
        """End."""
        self._collector.stop()
