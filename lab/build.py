"""Build what the lab caches: what its light size needs first, each compiler beside what comes as packages."""

from lab.backend.jaeger import build_jaeger, fetch_page
from lab.controlplane.binaries import API, CONTROLLERS, NODE, find_programs
from lab.guests import daemon, lxc, ssh
from lab.guests.image import guest_image
from lab.guests.together import side_by_side
from lab.keep import name_leftovers
from lab.kubevirt.binaries import kubevirt
from lab.kubevirt.guestimage import guest_images
from lab.kubevirt.images import kubevirt_base, kubevirt_images
from lab.node import network, node
from lab.node.binaries import containerd_tools
from lab.node.multus import multus
from lab.node.small import busybox_image, pause_image
from lab.prometheus.binaries import promtool
from tools.checkov import checkov
from tools.images.product import agent_image, operator_image
from tools.machine import ensure_packages, require_machine

LIGHT_PACKAGES = (*daemon.PACKAGES, "openssl")
# What single tests need. One that adds a user, installed while others run, would end their mounts on /etc/passwd.
TEST_PACKAGES = (*ssh.CLIENT_PACKAGES, *lxc.PACKAGES, "prometheus-alertmanager")
PACKAGES = (*LIGHT_PACKAGES, *node.PACKAGES, *network.PACKAGES, "mmdebstrap", "buildah")


def build(*, light: bool = False) -> None:
    """Build what no cache holds yet: all that tests run, or with `light` what those run that need no nodes."""
    require_machine()
    name_leftovers()
    ensure_packages(TEST_PACKAGES)
    if light:
        side_by_side([build_api, build_backend, build_guests])
        find_programs(CONTROLLERS)
        return
    build_full()
    promtool()
    checkov()


def build_api() -> None:
    """Build what serves the API."""
    find_programs(API)


def build_backend() -> None:
    """Build Jaeger and fetch its page."""
    fetch_page()
    build_jaeger()


def build_guests() -> None:
    """Install libvirt and QEMU and build what guests boot from."""
    ensure_packages(LIGHT_PACKAGES)
    guest_image()


def build_full() -> None:
    """Build what the full size needs."""
    ensure_packages(PACKAGES)
    side_by_side([_compile, _unpack])
    kubevirt_images()


def _compile() -> None:
    build_api()
    find_programs(CONTROLLERS)
    find_programs(NODE)
    build_jaeger()
    containerd_tools()
    multus()
    kubevirt()


def _unpack() -> None:
    fetch_page()
    guest_images()
    pause_image()
    busybox_image()
    kubevirt_base()
    agent_image()
    operator_image()
