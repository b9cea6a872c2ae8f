"""What differs between installations of the operator, from its environment."""

import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from virtwatch_api.problem import Problem
from virtwatch_operator.notify.guard import Network, parse_networks
from virtwatch_process.settings import Variables
from virtwatch_telemetry.names import SHORTEST_KEY

DEFAULT_NAMESPACE = "virtwatch-system"
DEFAULT_HEALTH_PORT = 8080
# client-go's spam filter for Events: a burst of 25 per object, then one per 5 min.
DEFAULT_EVENT_BURST = 25


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """Hold what differs between installations.

    `namespace` is where the ThresholdSets of ClusterMonitorPolicies, the Lease and the agents' pods are. `pod` names
    this replica to people (reportingInstance, service.instance.id); `identity` names this process in the Lease.
    `metrics_port` is where Prometheus may scrape, 0 for nowhere. `denied_networks` is where no tenant's channel may go;
    `trace_url` is where a person sees a trace, {trace} its id. With a `hash_key` names leave hashed, as an agent's.
    """

    namespace: str
    pod: str
    identity: str
    lease: bool
    health_port: int
    event_burst: int
    metrics_port: int = 0
    denied_networks: tuple[Network, ...] = ()
    trace_url: str = ""
    hash_key: str = ""

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "OperatorSettings | tuple[Problem, ...]":
        """Read POD_NAMESPACE, POD_NAME and what begins with VIRTWATCH_."""
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
            metrics_port=read.port("VIRTWATCH_METRICS_PORT", 0) if read.text("VIRTWATCH_METRICS_PORT") else 0,
            denied_networks=_networks(read, "VIRTWATCH_DENIED_NETWORKS"),
            trace_url=read.text("VIRTWATCH_TRACE_URL"),
            hash_key=read.secret(
                "VIRTWATCH_EXPORT_HASH_KEY", at_least=SHORTEST_KEY, otherwise="export names as they are"
            ),
        )
        return read.problems or settings


def _networks(read: Variables, name: str) -> tuple[Network, ...]:
    try:
        return (*parse_networks(read.items(name)), *_api_server(read))
    except ValueError as error:
        read.problem(name, f"must be networks such as 10.0.0.0/8, with commas between them: {error}")
        return ()


def _api_server(read: Variables) -> tuple[Network, ...]:
    try:
        return parse_networks([read.text("KUBERNETES_SERVICE_HOST")])
    except ValueError:
        return ()  # a name, or not in a Pod
