"""A VirtualMachine of KubeVirt: made, started, paused, moved and deleted through KubeVirt's own API."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from typing import Any

from lab.controlplane.cluster import ControlPlane
from lab.guests import control
from lab.guests.disk import Disk
from lab.guests.domain import FAST_BOOT
from lab.kubevirt.guestimage import DISK, KERNEL
from lab.kubevirt.images import QEMU_UID
from lab.node.multus import Lan
from lab.node.node import Node
from lab.process import wait_for
from tools.errors import ToolError
from tools.progress import note
from virtwatch_kube.paths import KUBEVIRT, resource

Document = dict[str, Any]
SUBRESOURCES = "/apis/subresources.kubevirt.io/v1"
UNPAUSE = ("virtualmachineinstances", "unpause")
# The addresses of the network that KubeVirt's masquerade binding makes in every pod.
MASQUERADED, MASQUERADING = "10.0.2.2/24", "10.0.2.1"
RUN_DEADLINE_S = 90.0
UNPAUSE_DEADLINE_S = 60.0
# What KubeVirt 1.7 needs to notice the end of a migration that it missed, and a minute more.
MOVE_DEADLINE_S = 255.0
MOVE_ATTEMPTS = 2
DELETE_PATIENCE_S = 60
# An emulated boot takes some seconds of CPU; several guests and a build may share the CPUs.
BOOT_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpec:
    """One Linux guest. Without a disk it can be moved to another node; `host_disk` is a file of the node's.

    `claim` names a PersistentVolumeClaim that is its disk. On `lan` hangs a second NIC, by the definition of that name
    in its namespace. `node` is the only one on which it may run; without it the scheduler chooses.
    """

    name: str
    namespace: str = "default"
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    disk: bool = True
    host_disk: Path | None = None
    claim: str = ""
    lan: Lan | None = None
    node: str = ""


class VirtualMachine:
    """`create()` it and it runs; `ask()` its guest for load once it has booted."""

    def __init__(self, control_plane: ControlPlane, spec: VmSpec) -> None:
        self.spec = spec
        self._kubectl, self._get = control_plane.kubectl, control_plane.get

    def create(self) -> None:
        """Apply the VirtualMachine, which starts at once."""
        self._kubectl("apply", "-f", "-", input=json.dumps(manifest(self.spec)))

    def run(self, booted: Callable[[], object]) -> None:
        """Create it; return when it runs and `booted` has returned. It is made again, once, where KubeVirt lost it.

        KubeVirt 1.7 can undefine a domain that has just started. virt-launcher defines it, which libvirt reports as an
        event with the state "shut off", and starts it; a virt-handler that works on that event before the next one
        has arrived takes it for a domain that has ended and deletes it ("Deleting inactive domain for vmi").
        """
        try:
            self._bring_up(booted)
        except ToolError as error:
            note(f"the VM {self.spec.name} is made again, as KubeVirt did not bring it up: {error}")
            self.delete()
            self._bring_up(booted)

    def wait_running(self, deadline: float = RUN_DEADLINE_S) -> None:
        """Return when KubeVirt says that the VM runs and has a node."""
        wait_for(self._running, what=f"the VM {self.spec.name} to run", deadline=deadline)

    def vmi(self) -> Document:
        """Return its VirtualMachineInstance, empty while there is none."""
        return self._get(
            resource(KUBEVIRT, "virtualmachineinstances", namespace=self.spec.namespace, name=self.spec.name)
        )

    @property
    def phase(self) -> str:
        return str(self.vmi().get("status", {}).get("phase", ""))

    @property
    def node(self) -> str:
        """The node that it runs on now."""
        return str(self.vmi().get("status", {}).get("nodeName", ""))

    def on(self, nodes: Mapping[str, Node]) -> Node:
        """Return which of these nodes it runs on now; on none for a moment where KubeVirt has lost it."""
        node = nodes.get(self.node)
        if node is None:
            raise ToolError(f"The VM {self.spec.namespace}/{self.spec.name} runs on no node now: see kubectl get vmi.")
        return node

    @property
    def paused(self) -> str:
        """Why KubeVirt calls it paused, in its word (PausedByUser, PausedIOError, ...); empty while it is not."""
        conditions = self.vmi().get("status", {}).get("conditions", [])
        paused = (item["reason"] for item in conditions if (item["type"], item["status"]) == ("Paused", "True"))
        return next(paused, "")

    def qemu(self, *, on: Node) -> int:
        """Return the pid of its QEMU on a node, as the machine numbers it."""
        spec = self.spec
        pid = on.pods_process("qemu-system-x86", command=f"guest={spec.namespace}_{spec.name},".encode())
        if pid is None:
            raise ToolError(f"No QEMU of {spec.namespace}/{spec.name} runs on {on.name}: see kubectl get vmi.")
        return pid

    def ask(self, request: str, *, on: Node, deadline: float = BOOT_DEADLINE_S) -> None:
        """Let the guest do something (see the guest's init.sh), by its serial port; it answers once it has booted."""
        uid = self.vmi().get("metadata", {}).get("uid", "")
        port = Path(f"/proc/{self.qemu(on=on)}/root") / "var/run/kubevirt-private" / uid / "virt-serial0"
        control.ask(port, request, deadline=deadline)

    def clone(self, name: str) -> None:
        """Ask KubeVirt for another VM like it, which starts as it did."""
        spec = self.spec
        source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine"}
        body = {
            "apiVersion": "clone.kubevirt.io/v1beta1",
            "kind": "VirtualMachineClone",
            "metadata": {"name": name, "namespace": spec.namespace},
            "spec": {"source": {**source, "name": spec.name}, "target": {**source, "name": name}},
        }
        self._kubectl("create", "-f", "-", input=json.dumps(body))

    def delete_launcher(self, *options: str) -> None:
        """Delete the pod that it runs in, as a person or an eviction does; KubeVirt starts it again."""
        self._kubectl("delete", "pod", *self._namespace, f"--selector=vm.kubevirt.io/name={self.spec.name}", *options)

    def kill_qemu(self, *, on: Node) -> None:
        """End its QEMU with SIGKILL, as an out-of-memory kill does; KubeVirt starts it again."""
        os.kill(self.qemu(on=on), SIGKILL)

    def pause(self) -> None:
        self._subresource("virtualmachineinstances", "pause")

    def unpause(self) -> None:
        """Let it go on. KubeVirt refuses until it calls the VM paused itself, which others may have noticed before."""
        what = f"KubeVirt to let {self.spec.name} go on"
        wait_for(lambda: self._subresource(*UNPAUSE, check=False), what=what, deadline=UNPAUSE_DEADLINE_S)

    def unpause_after_io_error(self) -> None:
        """Let it go on now that there is room. KubeVirt does so too, every few seconds, and refuses if it just did."""
        self._subresource(*UNPAUSE, check=False)

    def stop(self) -> None:
        """Ask KubeVirt to end it; it stays defined."""
        self._subresource("virtualmachines", "stop")

    def start(self) -> None:
        self._subresource("virtualmachines", "start")

    def migrate(self) -> None:
        """Ask KubeVirt to move it to another node."""
        spec = self.spec
        body = {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstanceMigration",
            "metadata": {"generateName": f"{spec.name}-", "namespace": spec.namespace},
            "spec": {"vmiName": spec.name},
        }
        self._kubectl("create", "-f", "-", input=json.dumps(body))

    def move(self) -> str:
        """Have it moved to another node and return that node.

        KubeVirt 1.7 can miss the end of a migration: the source's virt-handler takes the domain that has left for one
        that has ended and deletes it before it has reported the move. The VMI then names the old node for three minutes
        more, and refuses another migration meanwhile. One that comes to nothing is asked for again.
        """
        source = self.node
        for _ in range(MOVE_ATTEMPTS):
            try:
                self.migrate()
                return self._wait_moved(source)
            except ToolError as error:
                note(f"KubeVirt has not moved {self.spec.name} and is asked once more: {error}")
            self._kubectl("delete", "vmim", "--all", *self._namespace, "--timeout=60s", check=False)
            if self.node != source:  # It was there in the end.
                return self._wait_moved(source)
        raise ToolError(
            f"KubeVirt did not move {self.spec.name} from {source}, though asked {MOVE_ATTEMPTS} times. Run it again."
        )

    def _wait_moved(self, source: str) -> str:
        what = f"{self.spec.name} to be on another node than {source}"
        wait_for(lambda: self.node not in ("", source), what=what, deadline=MOVE_DEADLINE_S)
        return self.node

    def delete(self) -> None:
        """Delete it; return when it is gone.

        KubeVirt 1.7 may leave mounts of a kernelBoot VM behind, one that has just moved above all, and then waits for
        ever: such a VM is taken away by hand.
        """
        vm = ("delete", "vm", self.spec.name, *self._namespace, "--ignore-not-found")
        self._kubectl(*vm, f"--timeout={DELETE_PATIENCE_S}s", check=False)
        if self.vmi():
            patch = ("--type=merge", '--patch={"metadata":{"finalizers":null}}')
            self._kubectl("patch", "vmi", self.spec.name, *self._namespace, *patch, check=False)
            self.delete_launcher("--force", "--grace-period=0")
        self._kubectl(*vm, f"--timeout={DELETE_PATIENCE_S}s")

    def _bring_up(self, booted: Callable[[], object]) -> None:
        self.create()
        self.wait_running()
        booted()

    @property
    def _namespace(self) -> tuple[str, ...]:
        return (f"--namespace={self.spec.namespace}",)

    def _running(self) -> bool:
        status = self.vmi().get("status", {})
        return status.get("phase") == "Running" and bool(status.get("nodeName"))

    def _subresource(self, kind: str, verb: str, *, check: bool = True) -> bool:
        """Ask KubeVirt; return whether it took that, which it must unless `check` is False."""
        path = f"{SUBRESOURCES}/namespaces/{self.spec.namespace}/{kind}/{self.spec.name}/{verb}"
        return self._kubectl("replace", "--raw", path, "-f", "-", input="{}", check=check).returncode == 0


def host_disk(node: Node, name: str) -> Disk:
    """Name a disk on one node, for a VmSpec's `host_disk`, that can run out of room."""
    return Disk(node.namespace, Path("/var/lib/disks", name, "disk.img"), uid=QEMU_UID)


def manifest(spec: VmSpec) -> Document:
    """Return the VirtualMachine."""
    volumes = _volumes(spec)
    networks, interfaces = [{"name": "default", "pod": {}}], [{"name": "default", "masquerade": {}}]
    arguments = f"console=ttyS0 {FAST_BOOT} lab.address={MASQUERADED}"
    if spec.lan is None:
        arguments += f" lab.peer={MASQUERADING}"
    else:
        networks.append({"name": "lan", "multus": {"networkName": spec.lan.name}})
        interfaces.append({"name": "lan", "bridge": {}})
        arguments += f" lab.second={spec.lan.guest} lab.peer={spec.lan.gateway}"
    devices = {
        "autoattachGraphicsDevice": False,
        "interfaces": interfaces,
        "disks": [{"name": volume["name"], "disk": {"bus": "virtio"}} for volume in volumes],
    }
    boot = {"image": KERNEL, "imagePullPolicy": "Never", "kernelPath": "/boot/vmlinux", "initrdPath": "/boot/initramfs"}
    domain = {
        "memory": {"guest": "128Mi"},
        "cpu": {"cores": 1},
        # With a limit for CPU KubeVirt moves a VM over one connection; Debian's QEMU 7.2 fails at several. It is more
        # than a busy vCPU takes: virt-launcher shares it, and one that is throttled reports a move's end too late.
        "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "2"}},
        "firmware": {"kernelBoot": {"kernelArgs": arguments, "container": boot}},
        "devices": devices,
    }
    template = {
        "terminationGracePeriodSeconds": 0,
        # A drained node's VMs move where they can, and end where they cannot.
        "evictionStrategy": "LiveMigrateIfPossible",
        "domain": domain,
        "networks": networks,
        "volumes": volumes,
        **({"nodeSelector": {"kubernetes.io/hostname": spec.node}} if spec.node else {}),
    }
    # KubeVirt gives a VMI what stands in the template alone.
    told = {"labels": spec.labels, "annotations": spec.annotations}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": spec.name, "namespace": spec.namespace, "labels": spec.labels},
        "spec": {"runStrategy": "Always", "template": {"metadata": told, "spec": template}},
    }


def _volumes(spec: VmSpec) -> list[Document]:
    if spec.host_disk is not None:
        return [{"name": "disk", "hostDisk": {"path": str(spec.host_disk), "type": "Disk"}}]
    if spec.claim:
        return [{"name": "disk", "persistentVolumeClaim": {"claimName": spec.claim}}]
    if spec.disk:
        return [{"name": "disk", "containerDisk": {"image": DISK, "imagePullPolicy": "Never"}}]
    return []
