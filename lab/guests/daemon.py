"""One libvirtd in namespaces of its own: started, stopped, killed, restarted by itself; its QEMUs outlive it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

from lab.guests.capabilities import capabilities
from lab.guests.cgroup import ControlGroup
from lab.guests.image import GuestImage
from lab.guests.layout import Command, mounts, write_folder
from lab.guests.namespace import Namespace, process_named
from lab.process import Process, start, wait_for
from lab.rundir import RunDir
from tools.errors import ToolError
from tools.machine import ensure_packages

# Not libvirt-daemon-system: it would bring services and settings of the machine, and the lab has its own.
PACKAGES = ("libvirt-daemon", "libvirt-clients", "qemu-system-x86", "iproute2", "util-linux")
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 60.0
# Destroying a stopped QEMU takes libvirt 12 s; probing QEMU where KVM is odd, 40 s.
CALL_DEADLINE_S = 90.0
LIBVIRTD_CONF = """\
min_workers = 1
max_workers = 5
prio_workers = 1
log_outputs = "3:stderr"
"""
# "file": else libvirtd wants a virtlogd.
QEMU_CONF = """\
stdio_handler = "file"
security_driver = "none"
"""


@cache
def _ensure_packages() -> None:
    ensure_packages(PACKAGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSpec:
    """What is particular about one libvirtd. Paths are as the daemon sees them, except where it says "outside"."""

    name: str
    uid: int
    uri: str
    folder: Path
    """Outside: the folder that the daemon sees as `INSIDE`."""
    files: Mapping[str, str]
    network: bool
    """Whether it lives in a network namespace of its own."""
    setup: Sequence[Command]
    """Commands that root runs inside, before the first start."""
    executable: Path
    config: Path
    environment: Mapping[str, str]
    bound: Path
    """Outside: the socket that it binds."""
    socket: Path
    """Outside: the socket's final name, under which it is published when it is another."""
    arguments: tuple[str, ...] = ()
    """Further ones that the daemon is started with."""
    probed: Path | None = None
    """Relative to `folder`: where it keeps what it probed of QEMU, unless it runs none."""


class Daemon:
    """A libvirtd and the namespaces that hold it and its QEMUs."""

    def __init__(self, spec: DaemonSpec, *, run: RunDir, cgroup: ControlGroup | None = None) -> None:
        self.spec = spec
        self._cgroup = cgroup
        self.log = run.path / "logs" / f"{spec.name}.log"
        self._run = run
        self._opened: Namespace | None = None
        self._process: Process | None = None

    @property
    def namespace(self) -> Namespace:
        if self._opened is None:
            raise ToolError(f"{self.spec.name} is not open: start its launcher or host first.")
        return self._opened

    @property
    def pid(self) -> int:
        """The daemon's process, as the machine numbers it."""
        name = self.spec.executable.name[:15]
        pid = process_named(name, bytes(self.spec.config), inside=self.namespace)
        if pid is None:
            raise ToolError(f"{self.spec.name} does not run: start it, or see why it ended.", log=self.log)
        return pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    def open(self, *, image: GuestImage | None, inside: Namespace | None = None) -> None:
        """Make the folder and the namespaces, `inside` others where some are named, and start the daemon in them."""
        _ensure_packages()
        spec = self.spec
        write_folder(spec.folder, spec.files, uid=spec.uid)
        if self._cgroup:
            self._cgroup.make(run=self._run)
        setup = [*mounts(spec.folder, image=image), *spec.setup]
        try:
            self._opened = Namespace.open(
                self._namespace_name, run=self._run, network=spec.network, setup=setup, inside=inside
            )
            if spec.probed is not None:
                self._take_capabilities(spec.probed)
            self.start()
        except BaseException:
            self.close()
            raise

    def attach(self) -> None:
        """Reach what another process of this run opened: its guests, not the daemon's own start and end."""
        self._opened = Namespace.attach(self._namespace_name, run=self._run)

    def close(self) -> None:
        """End the daemon, its QEMUs and all that was made inside, at once; remove its group, socket and folder."""
        # Before the namespaces, which end only when nsenter, outside of them, has taken note of the daemon's end.
        if self._process is not None:
            self._process.kill()
            self._process = None
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        if self._cgroup:
            self._cgroup.remove()
        self._withdraw()
        if self.spec.folder.is_dir():
            shutil.rmtree(self.spec.folder)

    def start(self) -> None:
        """Start it; return when it listens at its socket."""
        spec = self.spec
        self._withdraw()
        settings = [f"{name}={value}" for name, value in spec.environment.items()]
        command: tuple[str | Path, ...] = (spec.executable, "--config", spec.config, *spec.arguments)
        argv = self.namespace.enter("env", *settings, *command, uid=spec.uid)
        process = start(spec.name, argv, run_dir=self._run.path)
        self._process = process
        what = f"the socket of {spec.name}"
        wait_for(lambda: _listens(spec.bound), what=what, deadline=START_DEADLINE_S, process=process, poll=0.01)
        if self._cgroup:
            self._cgroup.adopt(self.pid)  # Before there is a QEMU, which is born where its daemon is.
        if spec.socket != spec.bound:
            # Who watches the folder sees the final name appear at once, as when it is bound.
            os.link(spec.bound, spec.socket)
            spec.bound.unlink()

    def stop(self) -> None:
        """End it cleanly: its socket goes with it. Its QEMUs continue."""
        self._end(SIGTERM)
        self._withdraw()

    def kill(self) -> None:
        """End it with SIGKILL: its socket stays and refuses. Its QEMUs continue."""
        self._end(SIGKILL)

    def restart(self) -> None:
        """Stop it where it runs and start it again; it then takes some 0.2 s to have its QEMUs in hand again."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the process (SIGSTOP): its socket accepts connections and answers nothing until `thaw()`."""
        os.kill(self.pid, SIGSTOP)
        process = self._process
        if process is not None:
            # nsenter stops with its child, a moment later: what lets both continue must not come in between.
            wait_for(
                lambda: _stopped(process.pid), what=f"{self.spec.name} to stand", deadline=STOP_DEADLINE_S, poll=0.01
            )

    def thaw(self) -> None:
        """Let a frozen daemon continue."""
        if self._process is not None:
            # nsenter lets its child continue with itself.
            self._process.signal(SIGCONT)
        os.kill(self.pid, SIGCONT)

    def virsh(self, *arguments: str, stdin: str = "") -> str:
        """Run one virsh command against it and return what it printed. One that hangs is an error after a while."""
        command = ["virsh", "--quiet", "--connect", self.spec.uri, *arguments]
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=CALL_DEADLINE_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise ToolError(f"virsh {arguments[0]} hangs on {self.spec.name}.", log=self.log) from None
        if done.returncode != 0:
            raise ToolError(f"virsh {' '.join(arguments)} on {self.spec.name}: {done.stderr.strip()}", log=self.log)
        return done.stdout.strip()

    @property
    def _namespace_name(self) -> str:
        return f"{self.spec.name}-namespace"

    def _end(self, sig: Signals) -> None:
        process = self._process
        if process is None or not process.alive:
            return
        os.kill(self.pid, sig)
        process.signal(SIGCONT)  # A frozen one takes no SIGTERM.
        wait_for(lambda: not process.alive, what=f"{self.spec.name} to end", deadline=STOP_DEADLINE_S, poll=0.01)
        process.kill()

    def _withdraw(self) -> None:
        for path in (self.spec.bound, self.spec.socket):
            path.unlink(missing_ok=True)

    def _take_capabilities(self, probed: Path) -> None:
        kind = "root" if self.spec.uid == 0 else "user"
        probe = partial(self._probe, probed)
        shutil.copytree(capabilities(kind, probe), self.spec.folder / probed, dirs_exist_ok=True)
        top = self.spec.folder / probed.parts[0]
        for path in (top, *top.rglob("*")):
            os.chown(path, self.spec.uid, self.spec.uid)

    def _probe(self, probed: Path) -> Path:
        self.start()
        self.virsh("capabilities")
        self.stop()
        return self.spec.folder / probed


def _listens(path: Path) -> bool:
    """Return whether something listens at a Unix socket: it is there a moment before. The path may be too long."""
    if not path.is_socket():
        return False
    folder = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(f"/proc/self/fd/{folder}/{path.name}") == 0
    finally:
        os.close(folder)


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
