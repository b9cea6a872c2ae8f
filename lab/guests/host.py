"""A plain host's system libvirtd with its guests, beside whatever libvirt the machine itself runs."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import islice
from pathlib import Path

from lab.guests.daemon import LIBVIRTD_CONF, QEMU_CONF, Daemon, DaemonSpec
from lab.guests.domain import Domain, Interface
from lab.guests.guest import Guest
from lab.guests.image import guest_image
from lab.guests.layout import IMAGE_INSIDE, INSIDE, Command
from lab.guests.namespace import Namespace
from lab.rundir import RunDir

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
libvirt-qemu:x:64055:64055::/:/sbin/nologin
sshd:x:64056:64056::/run/sshd:/sbin/nologin
"""
GROUP = "root:x:0:\nlibvirt-qemu:x:64055:\nkvm:x:107:\nsshd:x:64056:\n"
# No control groups: two labs would share the names of their domains'. No namespaces: a /dev for each QEMU costs time.
HOST_QEMU_CONF = f"""\
{QEMU_CONF}\
user = "root"
group = "root"
namespaces = []
cgroup_controllers = []
"""
# Root's alone, without polkit: the lab adds no way to become root.
SOCKET_CONF = f"""\
unix_sock_dir = "{INSIDE}/sock"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
"""
# The machine's folders that libvirt hard-codes, and ours that hide them.
FOLDERS = {"/etc/libvirt": "etc", "/var/lib/libvirt": "lib", "/var/cache/libvirt": "cache", "/var/log/libvirt": "log"}
# RFC 2544 keeps it for tests: no machine routes it. Each guest takes a /30 of it.
TEST_NETWORK = IPv4Network("198.18.0.0/15")
POINT_TO_POINT = 30
NETWORKS = 1 << (POINT_TO_POINT - TEST_NETWORK.prefixlen)


@dataclass(frozen=True, slots=True)
class Tls:
    """What a libvirtd needs to be reached over TLS: a port, its key and certificate, and who signs its clients'."""

    port: int
    key: str
    certificate: str
    authority: str

    @property
    def config(self) -> str:
        """Return the lines of libvirtd.conf."""
        return f"""\
listen_tls = 1
listen_addr = "127.0.0.1"
tls_port = "{self.port}"
key_file = "{INSIDE}/etc/key.pem"
cert_file = "{INSIDE}/etc/cert.pem"
ca_file = "{INSIDE}/etc/ca.pem"
"""

    @property
    def files(self) -> dict[str, str]:
        """Return the files that `config` names."""
        return {"etc/key.pem": self.key, "etc/cert.pem": self.certificate, "etc/ca.pem": self.authority}


class HostLibvirt:
    """One system libvirtd of root: `start()` it, give it guests by `add()`, `stop()` it with all of them."""

    def __init__(self, run: RunDir, *, name: str = "host", tls: Tls | None = None) -> None:
        """With `tls` it listens on the machine's loopback address as well."""
        self.guests: list[Guest] = []
        self._run = run
        self.daemon = Daemon(_spec(run.path / name, name=f"libvirtd-{name}", tls=tls), run=run)

    @property
    def socket(self) -> Path:
        return self.daemon.spec.socket

    @property
    def socket_inside(self) -> Path:
        """The socket as those in the daemon's namespaces find it."""
        return INSIDE / "sock" / self.socket.name

    @property
    def uri(self) -> str:
        return self.daemon.spec.uri

    def start(self, *, linux: bool = True, inside: Namespace | None = None) -> None:
        """Start the daemon; `linux` says whether guests with an operating system will be added.

        `inside` is the node whose host this is: its processes then show the guests. None: the machine's alone do.
        """
        self.daemon.open(image=guest_image() if linux else None, inside=inside)

    def add(self, name: str, *, linux: bool = True) -> Guest:
        """Start a further guest; `wait_ready()` waits for its boot."""
        guest = self._next(name, linux=linux)
        guest.define()
        guest.start()
        return guest

    def attach(self, names: Sequence[str]) -> None:
        """Reach the guests, running Linux, that another process of this run added in this order."""
        self.daemon.attach()
        for name in names:
            self._next(name, linux=True)

    def stop(self) -> None:
        """End the daemon and its guests, whatever state they are in. Nothing of them stays."""
        self.daemon.close()
        self.guests.clear()

    def _next(self, name: str, *, linux: bool) -> Guest:
        domain = Domain(
            name=name,
            uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.daemon.spec.folder}/{name}")),
            interface=_interface(self._run, self.daemon.spec.folder, number=len(self.guests)),
            image=IMAGE_INSIDE if linux else None,
        )
        guest = Guest(domain, daemon=self.daemon)
        self.guests.append(guest)
        return guest


def _spec(folder: Path, *, name: str, tls: Tls | None) -> DaemonSpec:
    config = "etc/libvirtd.conf"
    socket = folder / "sock" / "libvirt-sock"
    files = {
        config: LIBVIRTD_CONF + SOCKET_CONF + _identity(folder) + (tls.config if tls else ""),
        "etc/qemu.conf": HOST_QEMU_CONF,
        "passwd": PASSWD,
        "group": GROUP,
        **(tls.files if tls else {}),
    }
    return DaemonSpec(
        name=name,
        uid=0,
        uri=f"qemu+unix:///system?socket={socket}",
        folder=folder,
        files=files,
        # The machine's own network: a plain host has no other.
        network=False,
        setup=hide_the_machines(),
        executable=Path("/usr/sbin/libvirtd"),
        config=INSIDE / config,
        environment={},
        bound=socket,
        socket=socket,
        arguments=("--listen",) if tls else (),
        probed=Path("cache/qemu/capabilities"),
    )


def _identity(folder: Path) -> str:
    """Tell the hosts of one machine apart: a guest migrates only to another host."""
    return f'host_uuid = "{uuid.uuid5(uuid.NAMESPACE_URL, str(folder))}"\n'


def hide_the_machines() -> list[Command]:
    """Return what hides the machine's libvirt, its state and its users from this one, and it from them."""
    # A node that shows the socket made its folder already.
    commands: list[Command] = [("mkdir", "-p", INSIDE / "sock")]
    for hidden, own in FOLDERS.items():
        commands += [("mkdir", "-p", hidden, INSIDE / own), ("mount", "--bind", INSIDE / own, hidden)]
    for file in ("passwd", "group"):
        commands.append(("mount", "--bind", INSIDE / file, f"/etc/{file}"))
    return commands


def _interface(run: RunDir, folder: Path, *, number: int) -> Interface:
    """Choose a tap and a network that no other host of this or another run is likely to have."""
    digest = hashlib.sha256(str(folder).encode())
    first = int.from_bytes(digest.digest()[:4], "big")
    index = (first + number) % NETWORKS
    host, guest = islice(IPv4Network((int(TEST_NETWORK.network_address) + 4 * index, POINT_TO_POINT)).hosts(), 2)
    tap = f"vw{run.name[:6]}{digest.hexdigest()[:3]}-{number}"  # an interface's name holds 15 characters
    return Interface(tap=tap, made=False, guest=str(guest), host=str(host), prefix=POINT_TO_POINT)
