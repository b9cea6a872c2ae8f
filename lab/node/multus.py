"""Multus, the plugin by which pods, and so VMs, hang on further networks that NetworkAttachmentDefinitions name."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Self

from lab.node.cluster import Cluster
from lab.node.network import CNI_VERSION, free_network, make_bridge, output
from lab.rundir import RunDir
from tools.cache import build_log, cached
from tools.gobuild import go_build
from tools.progress import step

# Its versions of modules are those of Kubernetes' programs where they share them: then only Multus itself is compiled.
SOURCE = Path(__file__).with_name("programs")
OBJECTS = Path(__file__).with_name("multus.yaml")
NAMESPACE, ACCOUNT = "kube-system", "multus"
CRD = "crd/network-attachment-definitions.k8s.cni.cncf.io"
# Of several configurations containerd takes the first by name.
CONFIGURATION = "00-multus.conf"


def multus() -> Path:
    """Return the plugin, building it when the cache does not hold it."""
    return cached("multus", [SOURCE], _build) / "multus"


def _build(folder: Path) -> None:
    source = folder / "source"
    shutil.copytree(SOURCE, source)
    with step("Building Multus", why="from Go modules, about 15 seconds on 2 cores, once"):
        go_build(["./multus"], source=source, output=folder / "multus", log=build_log("multus"), stamp="")
    shutil.rmtree(source)


@contextmanager
def multus_installed(cluster: Cluster) -> Iterator[None]:
    """Connect pods that start meanwhile to what their annotations name too, on every node that there is."""
    control_plane, nodes = cluster.control_plane, cluster.nodes.values()
    control_plane.kubectl("apply", "-f", str(OBJECTS))
    control_plane.wait_established(CRD)
    configuration = {
        "cniVersion": CNI_VERSION,
        "name": "multus",
        "type": "multus",
        "kubeconfig": str(control_plane.service_account_kubeconfig(NAMESPACE, ACCOUNT)),
        "delegates": [cluster.network.cni],
    }
    try:
        for node in nodes:
            shutil.copy(multus(), node.plugins)
            # containerd reads the folder again after a write in it, not after a file was moved there.
            (node.cni / CONFIGURATION).write_text(json.dumps(configuration))
        yield
    finally:
        for node in nodes:
            (node.cni / CONFIGURATION).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Lan:
    """A bridge on the machine, and so on every node, for VMs alone; it leads nowhere but to the machine itself."""

    name: str
    bridge: str
    addresses: IPv4Network

    @classmethod
    def make(cls, run: RunDir, name: str) -> Self:
        """Make the bridge of the one LAN of a run; it goes with the run."""
        made = cls(name, f"vl{run.name[:8]}", free_network(run))
        make_bridge(run, made.bridge, address=f"{made.gateway}/{made.addresses.prefixlen}")
        return made

    @property
    def gateway(self) -> str:
        """The machine's own address there."""
        return str(self.addresses[1])

    @property
    def guest(self) -> str:
        """An address for a guest, with the length of its prefix."""
        return f"{self.addresses[2]}/{self.addresses.prefixlen}"

    def definition(self, namespace: str) -> dict[str, Any]:
        """Return the NetworkAttachmentDefinition, of the LAN's name, that names the bridge."""
        config = {"cniVersion": CNI_VERSION, "name": self.name, "type": "bridge", "bridge": self.bridge, "ipam": {}}
        return {
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": self.name, "namespace": namespace},
            "spec": {"config": json.dumps(config)},
        }

    def set(self, state: str) -> None:
        """Turn the bridge "up" or "down"."""
        output("ip", "link", "set", self.bridge, state)
