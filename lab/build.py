"""Build everything that the lab caches, so that what comes later starts at once."""

from lab.backend.jaeger import build_jaeger, fetch_page
from lab.checkov.checkov import checkov
from lab.controlplane.binaries import find_tools
from lab.guests import daemon
from lab.guests.image import guest_image
from lab.images.product import agent_image, operator_image
from lab.images.small import busybox_image, pause_image
from lab.keep import name_leftovers
from lab.kubevirt.guestimage import guest_images
from lab.kubevirt.images import kubevirt_images
from lab.machine import ensure_packages
from lab.node import network, node
from lab.node.binaries import containerd_tools, kubernetes_tools


def build() -> None:
    """Build what no cache holds yet: what the demos need, then what judges the manifests."""
    name_leftovers()
    build_stages()
    checkov()


def build_stages() -> None:
    """Build first what `make demo LIGHT=1` needs, then nodes, then KubeVirt."""
    ensure_packages((*daemon.PACKAGES, *node.PACKAGES, *network.PACKAGES, "openssl"))
    find_tools()
    build_jaeger()
    fetch_page()
    guest_image()
    build_nodes()


def build_nodes() -> None:
    """Build what real nodes and KubeVirt need beside that, and virtwatch's images from the checkout as it is."""
    kubernetes_tools()
    containerd_tools()
    pause_image()
    busybox_image()
    kubevirt_images()
    guest_images()
    agent_image()
    operator_image()
