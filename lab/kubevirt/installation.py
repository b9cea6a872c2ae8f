"""Install and remove KubeVirt by its own operator."""

from pathlib import Path

from lab.kubevirt.binaries import NAMESPACE, kubevirt
from lab.kubevirt.guestimage import DISK, KERNEL, guest_images
from lab.kubevirt.images import kubevirt_images
from lab.node.cluster import Cluster
from lab.node.node import Node
from tools.errors import ToolError
from tools.progress import step

CUSTOM_RESOURCE = Path(__file__).with_name("kubevirt.yaml")
# KubeVirt runs its own parts nowhere else.
CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane="
INSTALL_DEADLINE_S = 600
REMOVE_DEADLINE_S = 240


def prepare(node: Node) -> None:
    """Load KubeVirt's images into a node, and what its VMs boot from."""
    with step(f"Loading KubeVirt's images into {node.name}"):
        node.import_image(kubevirt_images())
        node.import_image(guest_images())
        # The pod that a VM moves to names them by digest.
        for image in (KERNEL, DISK):
            node.name_by_digest(image)


def install(cluster: Cluster) -> None:
    """Install KubeVirt; return when it is Available. Its own parts run on the first node, VMs on every prepared one."""
    kubectl = cluster.control_plane.kubectl
    first = next(iter(cluster.nodes), None)
    if first is None:
        raise ToolError("KubeVirt needs a node: add_node() one, prepare() it, then install().")
    with step("Installing KubeVirt", why="its operator installs its other parts one after the other, 2 minutes"):
        kubectl("label", "node", first, CONTROL_PLANE_LABEL, "--overwrite")
        kubectl("apply", "--server-side", "-f", str(kubevirt() / "operator.yaml"))
        cluster.control_plane.wait_established("crd/kubevirts.kubevirt.io")
        kubectl("apply", "-f", str(CUSTOM_RESOURCE))
        waited = ("kubevirt/kubevirt", f"--namespace={NAMESPACE}", "--for=condition=Available")
        kubectl("wait", *waited, f"--timeout={INSTALL_DEADLINE_S}s")


def remove(cluster: Cluster) -> None:
    """Remove every VM and KubeVirt, in the order that its documentation asks for."""
    kubectl = cluster.control_plane.kubectl
    patience = f"--timeout={REMOVE_DEADLINE_S}s"
    kubectl("delete", "vm,vmi", "--all", "--all-namespaces", patience)
    kubectl("delete", "-f", str(CUSTOM_RESOURCE), "--ignore-not-found", patience)
    kubectl("delete", "-f", str(kubevirt() / "operator.yaml"), "--ignore-not-found", patience)
