"""What differs between installations of the agent, from its environment."""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virtwatch_agent.core.flapping import ALERT_BURST
from virtwatch_agent.export_settings import MOST_SERIES, USUAL, ExportSettings
from virtwatch_api.problem import Problem
from virtwatch_api.quantity import parse_quantity
from virtwatch_process.settings import Variables
from virtwatch_telemetry.names import SHORTEST_KEY

DEFAULT_LIBVIRT_SOCKET = "/run/libvirt/libvirt-sock"
DEFAULT_PROC = "/proc"
DEFAULT_SYS = "/sys"
DEFAULT_STATE_DIR = "/var/lib/virtwatch"
DEFAULT_NAMESPACE = "virtwatch-system"
DEFAULT_HEALTH_PORT = 8080
DEFAULT_EXPORT_INTERVAL = 15.0  # seconds
_MOST_CPUS = 1024
_NODE = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Hold what differs between installations; `export_interval` in seconds.

    `node` names this node's NodeMonitor. `pods_dir` is where the kubelet's pods folder is seen, None on a host without
    KubeVirt; `libvirt_socket` is the host's own libvirt, which may be absent, or have virtqemud-sock in its place;
    `proc` and `sys` are the host's. `namespace` is the operator's, and so the agent's. `libvirt_uris` are connections
    given by hand. `cpu_budget` is how many CPUs the agent may use, 0 for any. `transition_burst`: see core/flapping.py.
    `guest_agent` lets it ask the guests of plain libvirt, by connections that may change VMs.
    """

    node: str
    namespace: str
    pods_dir: Path | None
    libvirt_socket: Path
    libvirt_uris: tuple[str, ...]
    proc: Path
    sys: Path
    state_dir: Path
    health_port: int
    export_interval: float
    cpu_budget: float
    transition_burst: int
    guest_agent: bool = False
    export: ExportSettings = USUAL

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "AgentSettings | tuple[Problem, ...]":
        """Read the VIRTWATCH_* variables; what is unset or empty takes its default; the node, the host name."""
        read = Variables(env)
        settings = cls(
            node=_node(read),
            namespace=read.text("POD_NAMESPACE", DEFAULT_NAMESPACE),
            pods_dir=read.path_or_none("VIRTWATCH_PODS_DIR"),
            libvirt_socket=read.path("VIRTWATCH_LIBVIRT_SOCKET", DEFAULT_LIBVIRT_SOCKET),
            libvirt_uris=_uris(read),
            proc=read.path("VIRTWATCH_PROC", DEFAULT_PROC),
            sys=read.path("VIRTWATCH_SYS", DEFAULT_SYS),
            state_dir=read.path("VIRTWATCH_STATE_DIR", DEFAULT_STATE_DIR),
            health_port=read.port("VIRTWATCH_HEALTH_PORT", DEFAULT_HEALTH_PORT),
            export_interval=read.seconds(
                "VIRTWATCH_EXPORT_INTERVAL", DEFAULT_EXPORT_INTERVAL, at_least=1.0, at_most=3600.0
            ),
            cpu_budget=_cpu_budget(read),
            transition_burst=read.number("VIRTWATCH_TRANSITION_BURST", ALERT_BURST, at_most=1_000_000),
            guest_agent=read.switch("VIRTWATCH_GUEST_AGENT", default=False),
            export=_export(read),
        )
        return read.problems or settings


def _export(read: Variables) -> ExportSettings:
    return ExportSettings(
        identity_on_points=read.switch("VIRTWATCH_EXPORT_IDENTITY_ON_POINTS", default=False),
        hash_key=read.secret("VIRTWATCH_EXPORT_HASH_KEY", at_least=SHORTEST_KEY, otherwise="export names as they are"),
        kubevirt_names=read.switch("VIRTWATCH_EXPORT_KUBEVIRT_NAMES", default=False),
        most_series=read.number("VIRTWATCH_EXPORT_SERIES", MOST_SERIES, at_most=1_000_000),
        metrics_port=read.port("VIRTWATCH_METRICS_PORT", 0) if read.text("VIRTWATCH_METRICS_PORT") else 0,
    )


def _cpu_budget(read: Variables) -> float:
    text = read.text("VIRTWATCH_CPU_BUDGET", "0")
    try:
        cpus = parse_quantity(text)
    except ValueError:
        cpus = -1.0
    if not 0 <= cpus <= _MOST_CPUS:
        read.problem("VIRTWATCH_CPU_BUDGET", f'must be CPUs such as 500m or "0.5", or 0 for any, not "{text}"')
        return 0.0
    return cpus


def _node(read: Variables) -> str:
    node = read.text("VIRTWATCH_NODE", socket.gethostname().lower())
    if not _NODE.fullmatch(node):
        must = "must be the name of this Kubernetes Node (spec.nodeName of the Pod)"
        read.problem("VIRTWATCH_NODE", f'{must}, not "{node}"')
    return node


def _uris(read: Variables) -> tuple[str, ...]:
    uris = tuple(read.items("VIRTWATCH_LIBVIRT_URIS"))
    for uri in uris:
        if ":" not in uri:
            must = "must hold libvirt URIs such as qemu:///system, separated by commas"
            read.problem("VIRTWATCH_LIBVIRT_URIS", f'{must}, not "{uri}"')
    return uris
