"""Lets the terminal hear what the collector finds, and names the VMs of pods as the Kubernetes API does elsewhere."""

from collections.abc import Callable, Mapping

from virtwatch_agent.observations import Appeared, ConnectionState, Domain, Observation, Vanished
from virtwatch_agent.seams import Collector, Deliver
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TargetRef
from virtwatch_cli.watch.watched import identities

Found = Appeared | Vanished | ConnectionState


class ListeningCollector(Collector):
    """Pass a collector's observations on, and tell `found` which VMs come and go, and which connections work."""

    def __init__(self, collector: Collector, *, found: Callable[[Found], None]) -> None:
        self._collector = collector
        self._found = found
        self._in_pods: dict[str, Domain] = {}

    def start(self, deliver: Deliver) -> None:
        """Begin."""

        def heard(*observations: Observation) -> None:
            for observation in observations:
                if isinstance(observation, Appeared) and observation.domain.pod_uid is not None:
                    self._in_pods[observation.domain.uuid] = observation.domain
                    deliver(identities(iter(list(self._in_pods.values()))))
                elif isinstance(observation, Vanished):
                    self._in_pods.pop(observation.uuid, None)
                if isinstance(observation, Found):
                    self._found(observation)
            deliver(*observations)

        self._collector.start(heard)

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Pass a plan on."""
        self._collector.plan(target, intervals)

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        """Pass on which sources are asked at random instants."""
        self._collector.scatter(target, within)

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        """Pass on that a source is asked once more."""
        self._collector.look_again(target, source, at)

    def launchers(self, pods: frozenset[str]) -> None:
        """Pass on which pods are launchers."""
        self._collector.launchers(pods)

    def stop(self) -> None:
        """End."""
        self._collector.stop()
