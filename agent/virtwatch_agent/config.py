import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virtwatch_api.duration import parse_duration
from virtwatch_api.problem import Problem

DEFAULT_LIBVIRT_SOCKET = "/run/libvirt/libvirt-sock"
DEFAULT_PROC = "/proc"
DEFAULT_STATE_DIR = "/var/lib/virtwatch"
DEFAULT_HEALTH_PORT = "8080"
DEFAULT_EXPORT_INTERVAL = "15s"
_NODE = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Hold what differs between installations; `export_interval` in seconds.

    `node` names this node's NodeMonitor. `pods_dir` is where the kubelet's pods folder is seen, None on a host without
    KubeVirt; `libvirt_socket` is the host's own libvirt, which may be absent, or have virtqemud-sock in its place;
    `proc` is the host's /proc. `libvirt_uris` are connections given by hand.
    """

    node: str
    pods_dir: Path | None
    libvirt_socket: Path
    libvirt_uris: tuple[str, ...]
    proc: Path
    state_dir: Path
    health_port: int
    export_interval: float

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "AgentSettings | tuple[Problem, ...]":
        """Read the VIRTWATCH_* variables; what is unset or empty takes its default; the node, the host name."""
        problems: list[Problem] = []
        read = _Variables(env, problems)
        settings = cls(
            node=read.node("VIRTWATCH_NODE"),
            pods_dir=read.path_or_none("VIRTWATCH_PODS_DIR"),
            libvirt_socket=read.path("VIRTWATCH_LIBVIRT_SOCKET", DEFAULT_LIBVIRT_SOCKET),
            libvirt_uris=read.uris("VIRTWATCH_LIBVIRT_URIS"),
            proc=read.path("VIRTWATCH_PROC", DEFAULT_PROC),
            state_dir=read.path("VIRTWATCH_STATE_DIR", DEFAULT_STATE_DIR),
            health_port=read.port("VIRTWATCH_HEALTH_PORT", DEFAULT_HEALTH_PORT),
            export_interval=read.seconds("VIRTWATCH_EXPORT_INTERVAL", DEFAULT_EXPORT_INTERVAL),
        )
        return tuple(problems) or settings


class _Variables:
    def __init__(self, env: Mapping[str, str], problems: list[Problem]) -> None:
        self._env = env
        self._problems = problems

    def text(self, name: str, default: str) -> str:
        return self._env.get(name, "").strip() or default

    def node(self, name: str) -> str:
        node = self.text(name, socket.gethostname().lower())
        if not _NODE.fullmatch(node):
            self._problem(name, f'must be the name of this Kubernetes Node (spec.nodeName of the Pod), not "{node}"')
        return node

    def path_or_none(self, name: str) -> Path | None:
        return self.path(name, "/") if self.text(name, "") else None

    def path(self, name: str, default: str) -> Path:
        path = Path(self.text(name, default))
        if not path.is_absolute():
            self._problem(name, f'must be an absolute path, not "{path}"')
        return path

    def uris(self, name: str) -> tuple[str, ...]:
        uris = tuple(uri for part in self.text(name, "").split(",") if (uri := part.strip()))
        for uri in uris:
            if ":" not in uri:
                self._problem(name, f'must hold libvirt URIs such as qemu:///system, separated by commas, not "{uri}"')
        return uris

    def port(self, name: str, default: str) -> int:
        text = self.text(name, default)
        if not text.isdecimal() or not 1 <= int(text) <= 65_535:
            self._problem(name, f'must be a TCP port from 1 to 65535, not "{text}"')
            return int(default)
        return int(text)

    def seconds(self, name: str, default: str) -> float:
        text = self.text(name, default)
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            self._problem(name, str(error))
            return parse_duration(default)
        if not 1.0 <= seconds <= 3600.0:
            self._problem(name, f'must be between 1s and 1h, not "{text}"')
        return seconds

    def _problem(self, name: str, message: str) -> None:
        self._problems.append(Problem(name, message))
