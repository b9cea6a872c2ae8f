"""The stage without nodes: a real API, three guests, and virtwatch's operator and agent as processes."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from lab.build import build_api, build_backend, build_guests
from lab.controlplane.cluster import VMI_CRD, ControlPlane
from lab.demo.alone import watch_alone
from lab.demo.stage import BROKEN, BUSY, GUEST, LABELS, NAMESPACE, PLAIN, SOON, Parts
from lab.demo.teller import Teller
from lab.guest import remember
from lab.guests.together import side_by_side, submit
from lab.installed.installation import Host, Installation
from lab.installed.virtualmachine import VirtualMachine
from lab.installed.written import create_namespace, create_node
from lab.process import Process, wait_resting
from lab.rundir import RunDir
from tools.errors import ToolError
from tools.progress import step

NODE = "node-1"


class LightStage(Parts):
    """VMs have KubeVirt's shape, and the lab writes into the API what KubeVirt and a kubelet would write."""

    promise = (
        "Real: etcd and kube-apiserver, libvirt and QEMU, Jaeger, virtwatch's operator and agent. Half a minute; the",
        "first run builds the API server and Jaeger, once: 6 to 10 minutes more. KUBEVIRT=1 adds nodes and KubeVirt.",
    )
    setting = (
        f"{BUSY} and {BROKEN} have a libvirtd each, in the shape of KubeVirt's virt-launcher; {PLAIN} is a guest",
        "of the host's own libvirtd, of which Kubernetes knows nothing.",
    )
    kinds = "vmi,pods"
    watchers = (("nodemonitors",),)
    operator: Process
    agent: Process

    def __init__(self, run: RunDir) -> None:
        super().__init__(run)
        self.control_plane = ControlPlane(run)
        self.pods_dir = run.path / "pods"
        self.busy, self.broken = (self._virtual_machine(name) for name in (BUSY, BROKEN))

    def start(self, teller: Teller) -> None:
        self.pods_dir.mkdir()
        with ThreadPoolExecutor() as pool:
            api, backend, guests = (submit(pool, build) for build in (build_api, build_backend, build_guests))
            kubernetes = submit(pool, partial(self._start_kubernetes, api))
            jaeger = submit(pool, partial(self._start_backend, backend))
            guests.result()
            self.start_host()
            if not (api.done() and backend.done()):
                watch_alone(self.run, self.plain, uri=self.host.uri, teller=teller)
            kubernetes.result()
            jaeger.result()
        with step(f"Starting {BUSY} and {BROKEN}, each with a libvirtd of its own as KubeVirt does, and virtwatch"):
            side_by_side([self._start_virtwatch, self.busy.start, self.broken.start])
        with step("Waiting for Linux to boot in the three guests", why="emulated, so that it works without KVM"):
            for guest in (self.busy.guest, self.broken.guest, self.plain):
                guest.wait_ready()
            # Else an alert fires on what its boot left, and ends before the story begins.
            wait_resting(self.busy.guest.qemu_pid, what=BUSY)

    def check(self) -> None:
        """Raise ToolError when a part that the story stands on has ended by itself."""
        for process in (self.agent, self.operator):
            if not process.alive:
                raise ToolError(f"{process.name} ended by itself:\n{process.tail()}", log=process.log)

    def load(self) -> None:
        self.busy.launcher.prefer()
        self.busy.guest.busy(cpu=True)

    def calm(self) -> None:
        self.busy.guest.calm()

    def fill(self) -> None:
        """Let the broken VM write until QEMU has paused it on the I/O error."""
        self.broken.guest.fill_disk()
        self.broken.guest.wait_state("paused", "I/O error")

    def mend(self) -> None:
        self.broken.guest.free_disk()
        self.broken.guest.resume()

    def keep(self) -> Mapping[str, str]:
        """Leave what `python -m lab guest` needs after this process; return variables for a person's shell."""
        with step("Starting kube-controller-manager", why="so that what is deleted goes with all that it owns"):
            self.control_plane.start_controllers()
        remember(self.run, launchers=[self.busy.launcher, self.broken.launcher], host=self.host)
        return {
            "LIBVIRT_HOST": self.host.uri,
            "LIBVIRT_WEB_1": self.busy.launcher.uri,
            "LIBVIRT_WEB_2": self.broken.launcher.uri,
        }

    def suggestions(self) -> Sequence[tuple[str, str]]:
        return (
            (f"{GUEST} {BUSY} cpu on", "and off: an alert fires and resolves"),
            (f"{GUEST} {BROKEN} fill", "an I/O error pauses it; free, then resume, mend it"),
            (f"{GUEST} {PLAIN} crash", "the host's own guest; start brings it back"),
            ("virsh -c $LIBVIRT_HOST list", "or $LIBVIRT_WEB_1, $LIBVIRT_WEB_2"),
        )

    def _start_kubernetes(self, built: Future[object]) -> None:
        built.result()
        with step("Starting etcd and kube-apiserver"):
            self.control_plane.start_api()
            self.control_plane.apply_crds(VMI_CRD)
            create_namespace(self.control_plane, NAMESPACE)
            create_node(self.control_plane, NODE)

    def _start_backend(self, built: Future[object]) -> None:
        built.result()
        self.start_backend()

    def _start_virtwatch(self) -> None:
        installation = Installation(self.run, self.control_plane, otlp=self.backend.otlp_http)
        host = Host(
            node=NODE, pods_dir=self.pods_dir, libvirt_socket=self.host.socket, state_dir=self.run.path / "agent-state"
        )
        installation.apply()
        self.operator = installation.start_operator()
        self.agent = installation.start_agent(host, **SOON)

    def _virtual_machine(self, name: str) -> VirtualMachine:
        api, pods = self.control_plane, self.pods_dir
        return VirtualMachine(
            self.run, control_plane=api, pods_dir=pods, node=NODE, namespace=NAMESPACE, name=name, labels=LABELS
        )
