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
from lab.prometheus.binaries import promtool
from tools.checkov import checkov
from tools.images.product import agent_image, operator_image
from tools.machine import ensure_packages, require_machine

LIGHT_PACKAGES = (*daemon.PACKAGES, "openssl")
PACKAGES = (*LIGHT_PACKAGES, *node.PACKAGES, *network.PACKAGES, "mmdebstrap", "buildah")


def build(*, light: bool = False) -> None:
    """Build what no cache holds yet: all that tests run, or with `light` what those run that need no nodes."""
    require_machine()
    name_leftovers()
    if light:
        build_light()
        return
    build_stages()
    promtool()
    checkov()


def build_light() -> None:
    """Build what runs without nodes."""
    ensure_packages(LIGHT_PACKAGES)
    side_by_side([_compile_light, _unpack_light])


def build_stages() -> None:
    """Build what compilers make beside what comes as packages: neither of the two alone fills two CPUs."""
    ensure_packages(PACKAGES)
    side_by_side([_compile, _unpack])
    kubevirt_images()


def _compile_light() -> None:
    find_tools()
    build_jaeger()


def _unpack_light() -> None:
    fetch_page()
    guest_image()


def _compile() -> None:
    # What `make demo LIGHT=1` needs comes first.
    _compile_light()
    kubernetes_tools()
    containerd_tools()
    kubevirt()


def _unpack() -> None:
    _unpack_light()
    guest_images()
    pause_image()
    busybox_image()
    kubevirt_base()
    agent_image()
    operator_image()
