"""The stage that is set in seconds: a control plane, three guests, and virtwatch's operator and agent as processes."""

from collections.abc import Mapping, Sequence
from functools import partial

from lab.backend.backend import Backend
from lab.backend.jaeger import build_jaeger, fetch_page
from lab.controlplane.binaries import find_tools
from lab.controlplane.cluster import VMI_CRD, ControlPlane
from lab.demo.stage import BROKEN, BUSY, LABELS, NAMESPACE, PLAIN, SOON
from lab.guests import daemon
from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.guests.image import guest_image
from lab.guests.kept import remember
from lab.guests.together import side_by_side
from lab.installed.installation import Host, Installation
from lab.installed.virtualmachine import VirtualMachine
from lab.installed.written import create_node
from lab.process import Process
from lab.rundir import RunDir
from tools.errors import ToolError
from tools.machine import ensure_packages
from tools.progress import step

NODE = "node-1"


class ProcessStage:
    """The Stage on which nothing needs a kubelet: VMs have KubeVirt's shape, and the lab writes what it would write."""

    promise: Sequence[str] = (
        "Without nodes and KubeVirt: 1 minute. The first run builds Kubernetes and Jaeger: 13 more, once.",
    )
    setting: Sequence[str] = (
        f"{BUSY} and {BROKEN} have a libvirtd each, in the shape of KubeVirt's virt-launcher; {PLAIN} is a guest",
        "of the host's own libvirtd, of which Kubernetes knows nothing.",
    )
    while_full: Sequence[str] = ()
    kinds = "vmi,pods"
    watchers: Sequence[Sequence[str]] = (("nodemonitors",),)
    operator: Process
    agent: Process
    plain: Guest

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.control_plane = ControlPlane(run)
        self.backend = Backend(run)
        self.host = HostLibvirt(run)
        self.pods_dir = run.path / "pods"
        self.busy, self.broken = (self._virtual_machine(name) for name in (BUSY, BROKEN))

    @staticmethod
    def prepare() -> None:
        """Build what the cache does not hold; slow on a machine's first run only."""
        ensure_packages((*daemon.PACKAGES, "openssl"))
        find_tools()
        build_jaeger()
        fetch_page()
        guest_image()

    def start(self) -> None:
        """Start everything."""
        self.pods_dir.mkdir()
        side_by_side([self._start_kubernetes, self._start_jaeger, self._start_host])
        side_by_side(
            [self._start_virtwatch, partial(self._start_machine, self.busy), partial(self._start_machine, self.broken)]
        )
        with step("Waiting for Linux to boot in the three guests", why="emulated, so that it works without KVM"):
            for guest in (self.busy.guest, self.broken.guest, self.plain):
                guest.wait_ready()

    def check(self) -> None:
        """Raise ToolError when operator or agent ended."""
        for process in (self.agent, self.operator):
            if not process.alive:
                raise ToolError(f"{process.name} ended by itself:\n{process.tail()}", log=process.log)

    def load(self) -> None:
        """Let the busy VM compute, however busy the machine is."""
        self.busy.launcher.prefer()
        self.busy.guest.busy(cpu=True)

    def calm(self) -> None:
        """Let it be idle again."""
        self.busy.guest.calm()

    def fill(self) -> None:
        """Let the broken VM write until QEMU pauses it."""
        self.broken.guest.fill_disk()
        self.broken.guest.wait_state("paused", "I/O error")

    def mend(self) -> None:
        """Make room and resume."""
        self.broken.guest.free_disk()
        self.broken.guest.resume()

    def remember(self) -> Mapping[str, str]:
        """Write down the guests; return where their libvirtds listen."""
        remember(self.run, launchers=[self.busy.launcher, self.broken.launcher], host=self.host)
        return {
            "LIBVIRT_HOST": self.host.uri,
            "LIBVIRT_WEB_1": self.busy.launcher.uri,
            "LIBVIRT_WEB_2": self.broken.launcher.uri,
        }

    def suggestions(self) -> Sequence[tuple[str, str]]:
        """Return commands for the three guests."""
        guest = ".venv/bin/python -m lab guest"
        return (
            (f"{guest} {BUSY} cpu on", "and off: an alert fires and resolves"),
            (f"{guest} {BROKEN} fill", "an I/O error pauses it; free, then resume, mend it"),
            (f"{guest} {PLAIN} crash", "the host's own guest; start brings it back"),
            ("virsh -c $LIBVIRT_HOST list", "or $LIBVIRT_WEB_1, $LIBVIRT_WEB_2"),
        )

    def _start_kubernetes(self) -> None:
        with step("Starting Kubernetes (etcd, kube-apiserver, kube-controller-manager)"):
            self.control_plane.start()
            self.control_plane.apply_crds(VMI_CRD)
            self.control_plane.kubectl("create", "namespace", NAMESPACE)
            create_node(self.control_plane, NODE)

    def _start_jaeger(self) -> None:
        with step("Starting Jaeger"):
            self.backend.start()

    def _start_host(self) -> None:
        with step(f"Starting a host's libvirtd with the guest {PLAIN}"):
            self.host.start()
            self.plain = self.host.add(PLAIN)

    def _start_machine(self, machine: VirtualMachine) -> None:
        with step(f"Starting the VM {machine.name} with a libvirtd of its own, as KubeVirt does"):
            machine.start()

    def _start_virtwatch(self) -> None:
        installation = Installation(self.run, self.control_plane, otlp=self.backend.otlp_http)
        with step("Applying manifests/ and starting virtwatch's operator and agent"):
            installation.apply()
            self.operator = installation.start_operator()
            self.agent = installation.start_agent(self._seen_by_the_agent(), **SOON)

    def _seen_by_the_agent(self) -> Host:
        return Host(
            node=NODE, pods_dir=self.pods_dir, libvirt_socket=self.host.socket, state_dir=self.run.path / "agent-state"
        )

    def _virtual_machine(self, name: str) -> VirtualMachine:
        return VirtualMachine(
            self.run,
            control_plane=self.control_plane,
            pods_dir=self.pods_dir,
            node=NODE,
            namespace=NAMESPACE,
            name=name,
            labels=LABELS,
        )
