"""A KubeVirt-shaped virt-launcher pod, without Kubernetes: one guest with a libvirtd of its own.

What a node's agent sees of it is what it sees of KubeVirt's: the socket under the kubelet's pods folder, uid 107, the
pod's UID in the control group, the pod's network namespace with `tap0`, the domain's name and metadata.
"""

import os
import shutil
import uuid
from pathlib import Path

from lab.guests.cgroup import ControlGroup
from lab.guests.daemon import LIBVIRTD_CONF, QEMU_CONF, Daemon, DaemonSpec
from lab.guests.domain import Domain, Interface
from lab.guests.guest import Guest
from lab.guests.image import guest_image
from lab.guests.layout import IMAGE_INSIDE, INSIDE, Command
from lab.rundir import RunDir
from tools.errors import ToolError

# KubeVirt's user "qemu" (kubevirt/pkg/util/util.go), whoever the machine calls so.
QEMU_UID = 107
PASSWD = f"root:x:0:0:root:/root:/bin/sh\nqemu:x:{QEMU_UID}:{QEMU_UID}:qemu:/:/sbin/nologin\n"
GROUP = f"root:x:0:\nqemu:x:{QEMU_UID}:\n"
RUNTIME_VOLUME = Path("volumes") / "kubernetes.io~empty-dir" / "libvirt-runtime"
# The network that KubeVirt's masquerade binding makes in a pod.
BRIDGE = "k6t-eth0"
INTERFACE = Interface(tap="tap0", made=True, guest="10.0.2.2", host="10.0.2.1", prefix=24)
# virtqemud is libvirtd with nothing but the QEMU driver, which Debian does not ship as a program of its own.
DRIVER = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so"
PROGRAM = INSIDE / "program"
ENVIRONMENT = {
    "HOME": str(INSIDE),
    "XDG_RUNTIME_DIR": "/var/run",
    "XDG_CONFIG_HOME": f"{INSIDE}/config",
    "XDG_CACHE_HOME": f"{INSIDE}/cache",
    "XDG_DATA_HOME": f"{INSIDE}/data",
    "LIBVIRT_DRIVER_DIR": str(PROGRAM),
}


class Launcher:
    """One pod with one guest: `start()` it, then load and break it through `guest` and `daemon`, `stop()` it."""

    def __init__(
        self,
        run: RunDir,
        *,
        pods_dir: Path,
        pod_uid: str,
        namespace: str,
        vmi: str,
        domain_uuid: str | None = None,
        linux: bool = True,
    ) -> None:
        """`pods_dir` stands for /var/lib/kubelet/pods. Without `linux` there is no operating system: for speed."""
        self.pod_uid = pod_uid
        self.described = {"pods_dir": str(pods_dir), "pod_uid": pod_uid, "namespace": namespace, "vmi": vmi}
        self._pod = pods_dir / pod_uid
        self.runtime = self._pod / RUNTIME_VOLUME
        self._domain = Domain(
            name=f"{namespace}_{vmi}",
            # A VM keeps it for good, as with KubeVirt; another run's VM is another VM.
            uuid=domain_uuid or str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run.path}/{namespace}/{vmi}")),
            interface=INTERFACE,
            image=IMAGE_INSIDE if linux else None,
            kubevirt=True,
        )
        spec = _spec(run.path / pod_uid[:8], name=f"virtqemud-{pod_uid[:8]}", runtime=self.runtime)
        self._cgroup = ControlGroup.of_pod(pod_uid, run=run)
        self.daemon = Daemon(spec, run=run, cgroup=self._cgroup)
        self._guest: Guest | None = None

    @property
    def guest(self) -> Guest:
        if self._guest is None:
            raise ToolError(f"The launcher of {self._domain.name} was not started.")
        return self._guest

    @property
    def socket(self) -> Path:
        """The socket at KubeVirt's place, mostly too long a path to connect to as it stands."""
        return self.daemon.spec.socket

    @property
    def uri(self) -> str:
        """The same socket by a short path."""
        return self.daemon.spec.uri

    def start(self) -> None:
        """Make the pod and start its guest; `guest.wait_ready()` waits for the boot."""
        self.runtime.mkdir(parents=True)
        self._pod.chmod(0o750)  # As a kubelet has it: no other user than root comes this way.
        os.chown(self.runtime, QEMU_UID, QEMU_UID)
        self.daemon.open(image=guest_image() if self._domain.image else None)
        self._guest = Guest(self._domain, daemon=self.daemon)
        self._guest.define()
        self._guest.start()

    def prefer(self) -> None:
        """Let its guest be busy when it wants to, however busy the machine is otherwise."""
        self._cgroup.prefer()

    def attach(self) -> None:
        """Reach the guest of a pod that another process of this run started."""
        self.daemon.attach()
        self._guest = Guest(self._domain, daemon=self.daemon)

    def stop(self) -> None:
        """End the pod, whatever state it is in, and remove its folder as a kubelet does. Nothing of it stays."""
        self.daemon.close()
        self._guest = None
        if self._pod.is_dir():
            shutil.rmtree(self._pod)


def _spec(folder: Path, *, name: str, runtime: Path) -> DaemonSpec:
    config = "config/libvirt/libvirtd.conf"
    short = folder / "runtime"
    return DaemonSpec(
        name=name,
        uid=QEMU_UID,
        uri=f"qemu+unix:///session?socket={short}/virtqemud-sock",
        folder=folder,
        files={config: LIBVIRTD_CONF, "config/libvirt/qemu.conf": QEMU_CONF, "passwd": PASSWD, "group": GROUP},
        network=True,
        setup=_setup(runtime),
        executable=PROGRAM / "virtqemud",
        config=INSIDE / config,
        environment=ENVIRONMENT,
        bound=runtime / "libvirt-sock",
        socket=runtime / "virtqemud-sock",
        # A user's libvirtd keeps it below its cache.
        probed=Path("cache/libvirt/qemu/cache/capabilities"),
    )


def _setup(runtime: Path) -> list[Command]:
    """Return what makes the namespaces a launcher's: its volume, its users, its network as KubeVirt lays it out."""
    return [
        ("ln", "-s", runtime, INSIDE / "runtime"),
        ("mount", "--bind", runtime, "/run/libvirt"),
        ("mount", "--bind", INSIDE / "passwd", "/etc/passwd"),
        ("mount", "--bind", INSIDE / "group", "/etc/group"),
        ("mkdir", PROGRAM),
        ("ln", "-s", DRIVER, PROGRAM),
        ("ln", "-s", "/usr/sbin/libvirtd", PROGRAM / "virtqemud"),
        # Not every machine lets every user open it, as a KubeVirt node does.
        ("mknod", "-m", "666", "/run/tun", "c", "10", "200"),
        ("mount", "--bind", "/run/tun", "/dev/net/tun"),
        ("ip", "link", "set", "lo", "up"),
        ("ip", "link", "add", BRIDGE, "type", "bridge"),
        ("ip", "address", "add", f"{INTERFACE.host}/{INTERFACE.prefix}", "dev", BRIDGE),
        ("ip", "tuntap", "add", INTERFACE.tap, "mode", "tap", "user", str(QEMU_UID), "group", str(QEMU_UID)),
        ("ip", "link", "set", INTERFACE.tap, "master", BRIDGE, "up"),
        ("ip", "link", "set", BRIDGE, "up"),
    ]
