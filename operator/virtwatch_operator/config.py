import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from virtwatch_api.problem import Problem

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
        problems: list[Problem] = []
        pod = env.get("POD_NAME") or socket.gethostname()
        settings = cls(
            namespace=env.get("POD_NAMESPACE") or DEFAULT_NAMESPACE,
            pod=pod,
            # A restarted container keeps its pod's name, but must not inherit a Lease that it no longer renews.
            identity=f"{pod}_{uuid.uuid4().hex[:8]}",
            lease=_on(env, "VIRTWATCH_LEASE", problems),
            health_port=_number(env, "VIRTWATCH_HEALTH_PORT", DEFAULT_HEALTH_PORT, at_most=65_535, problems=problems),
            event_burst=_number(
                env, "VIRTWATCH_EVENT_BURST", DEFAULT_EVENT_BURST, at_most=1_000_000, problems=problems
            ),
        )
        return tuple(problems) or settings


def _on(env: Mapping[str, str], name: str, problems: list[Problem]) -> bool:
    text = env.get(name, "").strip().lower() or "on"
    if text not in ("on", "off"):
        problems.append(Problem(name, f'must be on or off, not "{text}"'))
    return text != "off"


def _number(env: Mapping[str, str], name: str, default: int, *, at_most: int, problems: list[Problem]) -> int:
    text = env.get(name, "").strip() or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= at_most:
        problems.append(Problem(name, f'must be a whole number from 1 to {at_most}, not "{text}"'))
        return default
    return int(text)
