"""A libvirtd whose guests are containers (LXC), beside whatever libvirt the machine itself runs."""

import subprocess
import uuid
from pathlib import Path
from xml.sax.saxutils import escape

from lab.guests.daemon import LIBVIRTD_CONF, Daemon, DaemonSpec
from lab.guests.host import GROUP, PASSWD, SOCKET_CONF, hide_the_machines
from lab.guests.layout import INSIDE
from lab.rundir import RunDir
from tools.cache import build_log, cached
from tools.commands import run_logged
from tools.machine import ensure_packages
from tools.progress import step

PACKAGES = ("busybox-static",)  # what its containers run
# Unpacked, not installed: the machine's own libvirt stays as it is.
PACKAGE = "libvirt-daemon-driver-lxc"
DRIVERS = "usr/lib/x86_64-linux-gnu/libvirt/connection-driver"
CONTROLLER = "usr/lib/libvirt/libvirt_lxc"
# Version 2 beside version 1, where it controls nothing: libvirt cannot show a container both.
UNIFIED = "/sys/fs/cgroup/unified"
GROUPS = "find /sys/fs/cgroup/machine /sys/fs/cgroup/*/machine -depth -type d -exec rmdir {} + 2>/dev/null; true"


class LxcLibvirt:
    """One libvirtd with the LXC driver alone: `start()` it, give it containers by `add()`, `stop()` it with all."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._unpacked = cached("libvirt-lxc", [Path(__file__)], _unpack)
        self.daemon = Daemon(_spec(run.path / "lxc", self._unpacked), run=run)

    @property
    def uri(self) -> str:
        return self.daemon.spec.uri

    def start(self) -> None:
        """Start the daemon."""
        ensure_packages(PACKAGES)
        self._run.record_undo("sh", "-c", GROUPS)
        self.daemon.open(image=None)
        root = self.daemon.spec.folder / "root"
        for folder in ("bin", "proc", "sys", "dev"):
            (root / folder).mkdir(parents=True)
        (root / "bin" / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
        (root / "bin" / "busybox").chmod(0o755)

    def add(self, name: str) -> str:
        """Start a container that uses a little CPU each second; return its UUID."""
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.daemon.spec.folder}/{name}"))
        init = "while :; do /bin/busybox sleep 0.2; done"
        arguments = "".join(f"<initarg>{escape(word)}</initarg>" for word in ("sh", "-c", init))
        xml = f"""
<domain type='lxc'><name>{name}</name><uuid>{identity}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type>exe</type><init>/bin/busybox</init>{arguments}</os>
  <devices><emulator>{self._unpacked / CONTROLLER}</emulator>
    <filesystem type='mount'><source dir='{INSIDE}/root'/><target dir='/'/></filesystem><console type='pty'/>
  </devices>
</domain>"""
        self.daemon.virsh("create", "/dev/stdin", stdin=xml)
        return identity

    def destroy(self, name: str) -> None:
        """End a container."""
        self.daemon.virsh("destroy", name)

    def stop(self) -> None:
        """End the daemon and its containers; their control groups go with them."""
        self.daemon.close()
        subprocess.run(["sh", "-c", GROUPS], check=True)


def _spec(folder: Path, unpacked: Path) -> DaemonSpec:
    socket = folder / "sock" / "libvirt-sock"
    config = "etc/libvirtd.conf"
    return DaemonSpec(
        name="libvirtd-lxc",
        uid=0,
        uri=f"lxc+unix:///system?socket={socket}",
        folder=folder,
        files={config: LIBVIRTD_CONF + SOCKET_CONF, "passwd": PASSWD, "group": GROUP},
        network=False,
        setup=[*hide_the_machines(), ("sh", "-c", f"! mountpoint -q {UNIFIED} || umount --lazy {UNIFIED}")],
        executable=Path("/usr/sbin/libvirtd"),
        config=INSIDE / config,
        environment={"LIBVIRT_DRIVER_DIR": str(unpacked / DRIVERS)},
        bound=socket,
        socket=socket,
    )


def _unpack(folder: Path) -> None:
    with step(f"Downloading {PACKAGE}", why="libvirt's driver of containers, once"):
        # apt's own user may not enter the folder of root's download.
        command = ["apt-get", "--quiet", "--option=APT::Sandbox::User=root", "download", PACKAGE]
        run_logged(command, log=build_log("libvirt-lxc"), cwd=folder)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
            package.unlink()
