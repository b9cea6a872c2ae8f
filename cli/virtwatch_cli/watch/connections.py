"""Where a person's VMs are looked for.

What was asked for, else this host's libvirt and, on a KubeVirt node, its pods'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from virtwatch_agent.collect.libvirt.collector import CollectSettings

_SOCKETS = (Path("/run/libvirt/libvirt-sock"), Path("/run/libvirt/virtqemud-sock"))
_PODS = Path("/var/lib/kubelet/pods")


@dataclass(frozen=True, slots=True)
class Connections:
    """Pair what to collect from with its names, for people; `problem` is a sentence when nothing is there yet."""

    settings: CollectSettings
    names: tuple[str, ...]
    problem: str = ""


def choose(uris: Sequence[str]) -> Connections:
    """Take the URIs that were given; without any, what this host has."""
    if uris:
        once = tuple(dict.fromkeys(uris))
        return Connections(CollectSettings(uris=once), once)
    pods = _PODS if _PODS.is_dir() else None
    socket = next((path for path in _SOCKETS if path.exists()), None)
    problem = ""
    if pods is None and socket is None:
        problem = (
            f"There is no libvirt here: {_SOCKETS[0]} and {_PODS} are absent. Start libvirtd, or name another with"
            " --connect (test:///default works anywhere); it is taken up as soon as it is there."
        )
    names = ("qemu:///system", *((f"the pods in {pods}",) if pods else ()))
    return Connections(CollectSettings(pods_dir=pods, host_socket=socket or _SOCKETS[0]), names, problem)
