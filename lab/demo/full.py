"""The stage that is a whole cluster: two nodes, KubeVirt with its VMs, and virtwatch as a user installs it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lab.build import build_full, build_guests
from lab.demo.alone import watch_alone
from lab.demo.stage import BROKEN, BUSY, GUEST, LABELS, NAMESPACE, PLAIN, SOON, Parts
from lab.demo.teller import Teller
from lab.guest import remember
from lab.guests.disk import Disk
from lab.guests.together import side_by_side, submit
from lab.kubevirt.binaries import kubevirt
from lab.kubevirt.installation import install, prepare
from lab.kubevirt.vm import VirtualMachine, VmSpec, host_disk
from lab.node import virtwatch
from lab.node.cluster import Cluster
from lab.process import wait_for, wait_resting
from lab.rundir import RunDir
from tools.errors import ToolError
from tools.progress import step

# The first has the host's libvirtd too, the second the disk that can run out of room.
FIRST, SECOND = "node-1", "node-2"
DEADLINE_S = 120.0


class FullStage(Parts):
    """Everything is as on a cluster of one's own, but for KVM."""

    promise = (
        "On two nodes with KubeVirt: 4 minutes. The first run builds Kubernetes, KubeVirt and Jaeger: up to 20 more.",
        "make demo, without KUBEVIRT=1, goes without nodes and KubeVirt: half a minute, at first 6 to 10 minutes.",
    )
    setting = (
        f"{BUSY} and {BROKEN} are VirtualMachines that KubeVirt runs; {PLAIN} is a guest of a libvirtd on {FIRST}, of",
        "which Kubernetes knows nothing. virtwatch was installed by kubectl apply -k: its agents are a DaemonSet.",
    )
    kinds = "vm,vmi,pods"
    watchers = (("pods", f"--namespace={virtwatch.NAMESPACE}", "-o", "wide"), ("nodemonitors",))
    disk: Disk
    busy: VirtualMachine
    broken: VirtualMachine

    def __init__(self, run: RunDir) -> None:
        super().__init__(run)
        self.cluster = Cluster(run)
        self.control_plane = self.cluster.control_plane

    def start(self, teller: Teller) -> None:
        with ThreadPoolExecutor() as pool:
            built = submit(pool, build_full)
            build_guests()
            self.start_host()
            if not built.done():
                watch_alone(self.run, self.plain, uri=self.host.uri, teller=teller)
            built.result()
        side_by_side([self._start_kubernetes, self.start_backend])
        with step(f"Starting the nodes {FIRST} and {SECOND} (containerd, kubelet)"):
            nodes = [
                self.cluster.add_node(FIRST, mounts={"/run/libvirt": self.host.socket.parent}),
                self.cluster.add_node(SECOND),
            ]
        side_by_side([partial(prepare, node) for node in nodes])
        side_by_side([partial(install, self.cluster), partial(virtwatch.load_images, self.cluster)])
        (self.control_plane.bin / "virtctl").symlink_to(kubevirt() / "virtctl")
        with step("Installing virtwatch: kubectl apply -k manifests/overlays/lab"):
            virtwatch.apply(self.cluster, otlp_port=int(self.backend.otlp_http.rpartition(":")[2]), telemetry=SOON)
        self._make_machines()
        side_by_side([partial(self._start_machine, self.busy), partial(self._start_machine, self.broken)])
        self.plain.wait_ready()

    def check(self) -> None:
        for node in self.cluster.nodes.values():
            if not node.kubelet.alive:
                raise ToolError(f"The kubelet of {node.name} ended by itself.", log=node.kubelet.log)

    def load(self) -> None:
        for node in self.cluster.nodes.values():
            node.prefer()
        self._ask(self.busy, "cpu on")

    def calm(self) -> None:
        self._ask(self.busy, "cpu off")

    def fill(self) -> None:
        # KubeVirt lets it continue every few seconds, in vain.
        self.disk.fill()
        self._ask(self.broken, "fill")
        what = f"KubeVirt to say that an I/O error paused {BROKEN}"
        wait_for(lambda: self.broken.paused == "PausedIOError", what=what, deadline=DEADLINE_S)

    def mend(self) -> None:
        self.disk.free()
        self.broken.unpause_after_io_error()

    def move(self) -> str:
        return self.busy.move()

    def keep(self) -> Mapping[str, str]:
        remember(self.run, host=self.host, nodes=self.cluster.nodes, vms=[self.busy.spec, self.broken.spec])
        return {"LIBVIRT_HOST": self.host.uri}

    def suggestions(self) -> Sequence[tuple[str, str]]:
        return (
            (f"{GUEST} {BUSY} cpu on", "and off: an alert fires and resolves"),
            (f"virtctl migrate -n {NAMESPACE} {BUSY}", "to the other node; its alert goes along"),
            (f"{GUEST} {BROKEN} fill", "an I/O error pauses it"),
            (f"{GUEST} {BROKEN} free", f"then virtctl unpause vm -n {NAMESPACE} {BROKEN}: it continues"),
            (f"{GUEST} {PLAIN} crash", "the host's own guest; start brings it back"),
            (f"virtctl pause vm -n {NAMESPACE} {BUSY}", "and unpause; stop, start, restart without `vm`"),
            ("virsh -c $LIBVIRT_HOST list", "the plain libvirtd's guest"),
        )

    def _start_kubernetes(self) -> None:
        with step("Starting Kubernetes (etcd, kube-apiserver, kube-controller-manager, kube-scheduler)"):
            self.cluster.start()
            self.control_plane.kubectl("create", "namespace", NAMESPACE)

    def _make_machines(self) -> None:
        self.disk = host_disk(self.cluster.nodes[SECOND], BROKEN)
        self.disk.make()
        # Without a disk it can be moved.
        busy = VmSpec(name=BUSY, namespace=NAMESPACE, labels=LABELS, disk=False)
        broken = VmSpec(name=BROKEN, namespace=NAMESPACE, labels=LABELS, host_disk=self.disk.path, node=SECOND)
        self.busy, self.broken = (VirtualMachine(self.control_plane, spec) for spec in (busy, broken))

    def _start_machine(self, machine: VirtualMachine) -> None:
        with step(f"Starting the VM {machine.spec.name}: kubectl apply of a VirtualMachine, until Linux has booted"):
            machine.run(lambda: self._ask(machine, "ping"))
            # Else an alert fires on what its boot left, and ends before the story begins.
            wait_resting(machine.qemu(on=machine.on(self.cluster.nodes)), what=machine.spec.name)

    def _ask(self, machine: VirtualMachine, request: str) -> None:
        machine.ask(request, on=machine.on(self.cluster.nodes))
