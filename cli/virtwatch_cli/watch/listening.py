"""Lets the terminal hear what the collector finds, and names the VMs of pods as the Kubernetes API does elsewhere."""

from collections.abc import Callable

from virtwatch_agent.collect.passing import PassingCollector
from virtwatch_agent.observations import Appeared, ConnectionState, Domain, Observation, Sample, Vanished
from virtwatch_agent.seams import Collector, Deliver
from virtwatch_cli.watch.watched import identities

Found = Appeared | Vanished | ConnectionState


class ListeningCollector(PassingCollector):
    """Pass a collector's observations on, and tell `found` which VMs come and go, and which connections work."""

    def __init__(self, collector: Collector, *, found: Callable[[Found], None]) -> None:
        super().__init__(collector)
        self._found = found
        self._in_pods: dict[str, Domain] = {}

    def start(self, deliver: Deliver) -> None:
        """Begin."""

        def received(*observations: Observation) -> None:
            for observation in observations:
                if isinstance(observation, Sample):
                    continue  # they come by the hundred
                if isinstance(observation, Appeared) and observation.domain.pod_uid is not None:
                    self._in_pods[observation.domain.uuid] = observation.domain
                    deliver(identities(iter(list(self._in_pods.values()))))
                elif isinstance(observation, Vanished):
                    self._in_pods.pop(observation.uuid, None)
                if isinstance(observation, Found):
                    self._found(observation)
            deliver(*observations)

        self._collector.start(received)
