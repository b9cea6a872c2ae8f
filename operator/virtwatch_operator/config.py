"""What differs between installations of the operator, from its environment."""

import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from virtwatch_api.problem import Problem
from virtwatch_process.settings import Variables

DEFAULT_NAMESPACE = "virtwatch-system"
DEFAULT_HEALTH_PORT = 8080
# client-go's spam filter for Events: a burst of 25 per object, then one per 5 min.
DEFAULT_EVENT_BURST = 25


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """Hold what differs between installations.

    `namespace` is where the ThresholdSets of ClusterMonitorPolicies, the Lease and the agents' pods are. `pod` names
    this replica to people (reportingInstance, service.instance.id); `identity` names this process in the Lease.
    """

    namespace: str
    pod: str
    identity: str
    lease: bool
    health_port: int
    event_burst: int

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "OperatorSettings | tuple[Problem, ...]":
        """Read POD_NAMESPACE, POD_NAME, VIRTWATCH_LEASE, VIRTWATCH_HEALTH_PORT and VIRTWATCH_EVENT_BURST."""
        read = Variables(env)
        pod = read.text("POD_NAME", socket.gethostname())
        settings = cls(
            namespace=read.text("POD_NAMESPACE", DEFAULT_NAMESPACE),
            pod=pod,
            # A restarted container keeps its pod's name, but must not inherit a Lease that it no longer renews.
            identity=f"{pod}_{uuid.uuid4().hex[:8]}",
            lease=read.switch("VIRTWATCH_LEASE", default=True),
            health_port=read.port("VIRTWATCH_HEALTH_PORT", DEFAULT_HEALTH_PORT),
            event_burst=read.number("VIRTWATCH_EVENT_BURST", DEFAULT_EVENT_BURST, at_most=1_000_000),
        )
        return read.problems or settings
