"""Build everything that the lab caches, so that what comes later starts at once."""

from lab.backend.jaeger import build_jaeger, fetch_page
from lab.controlplane.binaries import find_tools
from lab.guests import daemon
from lab.guests.image import guest_image
from lab.guests.together import side_by_side
from lab.keep import name_leftovers
from lab.kubevirt.binaries import kubevirt
from lab.kubevirt.guestimage import guest_images
from lab.kubevirt.images import kubevirt_base, kubevirt_images
from lab.node import network, node
from lab.node.binaries import containerd_tools, kubernetes_tools
from lab.node.small import busybox_image, pause_image
from tools.checkov import checkov
from tools.images.product import agent_image, operator_image
from tools.machine import ensure_packages, require_machine

PACKAGES = (*daemon.PACKAGES, *node.PACKAGES, *network.PACKAGES, "openssl", "mmdebstrap", "buildah")


def build() -> None:
    """Build what no cache holds yet: what the demos need, then what judges the manifests."""
    require_machine()
    name_leftovers()
    build_stages()
    checkov()


def build_stages() -> None:
    """Build what compilers make beside what comes as packages: neither of the two alone fills two CPUs."""
    ensure_packages(PACKAGES)
    side_by_side([_compile, _unpack])
    kubevirt_images()


def _compile() -> None:
    # What `make demo LIGHT=1` needs comes first.
    find_tools()
    build_jaeger()
    kubernetes_tools()
    containerd_tools()
    kubevirt()


def _unpack() -> None:
    fetch_page()
    guest_image()
    guest_images()
    pause_image()
    busybox_image()
    kubevirt_base()
    agent_image()
    operator_image()
