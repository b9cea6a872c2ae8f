"""The stage that is a whole cluster: two nodes, KubeVirt with its VMs, and virtwatch as a user installs it."""

from collections.abc import Mapping, Sequence
from functools import partial

from lab.backend.backend import Backend
from lab.build import build_stages
from lab.demo.stage import BROKEN, BUSY, LABELS, NAMESPACE, PLAIN, SOON
from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.guests.kept import remember
from lab.guests.together import side_by_side
from lab.kubevirt.binaries import kubevirt
from lab.kubevirt.hostdisk import HostDisk
from lab.kubevirt.installation import install, prepare
from lab.kubevirt.kept import remember_vms
from lab.kubevirt.vm import VirtualMachine, VmSpec
from lab.node import virtwatch
from lab.node.cluster import Cluster
from lab.process import wait_for
from lab.rundir import RunDir
from tools.errors import ToolError
from tools.progress import step

# The first has the host's libvirtd too, the second the disk that can run out of room.
FIRST, SECOND = "node-1", "node-2"
DEADLINE_S = 120.0


class NodeStage:
    """The Stage on which everything is as on a cluster of one's own, but for KVM."""

    promise: Sequence[str] = (
        "On two nodes with KubeVirt: 4 minutes. The first run builds Kubernetes, KubeVirt and Jaeger: up to 25 more.",
        "make demo LIGHT=1 goes without nodes and KubeVirt: 1 minute, and 13 more the first time.",
    )
    setting: Sequence[str] = (
        f"{BUSY} and {BROKEN} are VirtualMachines that KubeVirt runs; {PLAIN} is a guest of a libvirtd on {FIRST}, of",
        "which Kubernetes knows nothing. virtwatch was installed by kubectl apply -k: its agents are a DaemonSet.",
    )
    while_full: Sequence[str] = (
        f"KubeVirt lets {BROKEN} go on every few seconds, in vain: its alert stays one alert until there is room.",
    )
    kinds = "vm,vmi,pods"
    watchers: Sequence[Sequence[str]] = (
        ("pods", f"--namespace={virtwatch.NAMESPACE}", "-o", "wide"),
        ("nodemonitors",),
    )
    disk: HostDisk
    busy: VirtualMachine
    broken: VirtualMachine
    plain: Guest

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.cluster = Cluster(run)
        self.control_plane = self.cluster.control_plane
        self.backend = Backend(run)
        self.host = HostLibvirt(run)

    @staticmethod
    def prepare() -> None:
        """Build what the cache does not hold; slow on a machine's first run only."""
        build_stages()

    def start(self) -> None:
        """Start everything."""
        side_by_side([self._start_kubernetes, self._start_jaeger, self._start_host])
        with step(f"Starting the nodes {FIRST} and {SECOND} (containerd, kubelet)"):
            nodes = [
                self.cluster.add_node(FIRST, mounts={"/run/libvirt": self.host.socket.parent}),
                self.cluster.add_node(SECOND),
            ]
        side_by_side([partial(prepare, node) for node in nodes])
        side_by_side([partial(install, self.cluster), self._load_virtwatch])
        (self.control_plane.bin / "virtctl").symlink_to(kubevirt() / "virtctl")
        with step("Installing virtwatch: kubectl apply -k manifests/overlays/lab"):
            virtwatch.apply(self.cluster, otlp_port=int(self.backend.otlp_http.rpartition(":")[2]), telemetry=SOON)
        self._make_machines()
        side_by_side([partial(self._start_machine, self.busy), partial(self._start_machine, self.broken)])
        with step("Waiting for Linux to boot in the three guests", why="emulated, so that it works without KVM"):
            self.plain.wait_ready()
            for machine in (self.busy, self.broken):
                self._ask(machine, "ping")

    def check(self) -> None:
        """Raise ToolError when a node's kubelet ended."""
        for node in self.cluster.nodes.values():
            if not node.kubelet.alive:
                raise ToolError(f"The kubelet of {node.name} ended by itself.", log=node.kubelet.log)

    def load(self) -> None:
        """Let the busy VM compute, however busy the machine is, here and where it moves to."""
        for node in self.cluster.nodes.values():
            node.prefer()
        self._ask(self.busy, "cpu on")

    def calm(self) -> None:
        """Let it be idle again, wherever it is now."""
        self._ask(self.busy, "cpu off")

    def fill(self) -> None:
        """Let the broken VM write until QEMU pauses it."""
        self.disk.fill()
        self._ask(self.broken, "fill")
        what = f"KubeVirt to say that an I/O error paused {BROKEN}"
        wait_for(lambda: self.broken.paused == "PausedIOError", what=what, deadline=DEADLINE_S)

    def mend(self) -> None:
        """Make room and unpause."""
        self.disk.free()
        self.broken.unpause()

    def move(self) -> str:
        """Let KubeVirt move the busy VM to the other node."""
        return self.busy.move()

    def remember(self) -> Mapping[str, str]:
        """Write down VMs and guest; return where the plain libvirtd listens."""
        remember(self.run, launchers=[], host=self.host)
        remember_vms(self.run, nodes=self.cluster.nodes, specs=[self.busy.spec, self.broken.spec])
        return {"LIBVIRT_HOST": self.host.uri}

    def suggestions(self) -> Sequence[tuple[str, str]]:
        """Return commands for the guests, and KubeVirt's own."""
        guest = ".venv/bin/python -m lab guest"
        return (
            (f"{guest} {BUSY} cpu on", "and off: an alert fires and resolves"),
            (f"virtctl migrate -n {NAMESPACE} {BUSY}", "to the other node; its alert goes along"),
            (f"{guest} {BROKEN} fill", "an I/O error pauses it"),
            (f"{guest} {BROKEN} free", f"and virtctl unpause vm -n {NAMESPACE} {BROKEN}: it goes on"),
            (f"{guest} {PLAIN} crash", "the host's own guest; start brings it back"),
            (f"virtctl pause vm -n {NAMESPACE} {BUSY}", "and unpause; stop, start, restart without `vm`"),
            ("virsh -c $LIBVIRT_HOST list", "the plain libvirtd's guest"),
        )

    def _start_kubernetes(self) -> None:
        with step("Starting Kubernetes (etcd, kube-apiserver, kube-controller-manager, kube-scheduler)"):
            self.cluster.start()
            self.control_plane.kubectl("create", "namespace", NAMESPACE)

    def _start_jaeger(self) -> None:
        with step("Starting Jaeger"):
            self.backend.start()

    def _start_host(self) -> None:
        with step(f"Starting a libvirtd with the guest {PLAIN}"):
            self.host.start()
            self.plain = self.host.add(PLAIN)

    def _load_virtwatch(self) -> None:
        with step("Loading virtwatch's images into both nodes"):
            virtwatch.load_images(self.cluster)

    def _make_machines(self) -> None:
        self.disk = HostDisk(self.cluster.nodes[SECOND], BROKEN)
        self.disk.make()
        # Without a disk it can be moved.
        self.busy = self._machine(VmSpec(name=BUSY, namespace=NAMESPACE, labels=LABELS, disk=False))
        self.broken = self._machine(
            VmSpec(name=BROKEN, namespace=NAMESPACE, labels=LABELS, host_disk=self.disk.path, node=SECOND)
        )

    def _machine(self, spec: VmSpec) -> VirtualMachine:
        return VirtualMachine(self.control_plane, spec)

    def _start_machine(self, machine: VirtualMachine) -> None:
        with step(f"Starting the VM {machine.spec.name}: kubectl apply of a VirtualMachine"):
            machine.create()
            machine.wait_running()

    def _ask(self, machine: VirtualMachine, request: str) -> None:
        machine.ask(request, on=self.cluster.nodes[machine.node])
