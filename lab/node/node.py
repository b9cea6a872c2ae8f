"""One Kubernetes node: a PID and a mount namespace of its own on the lab's machine, with containerd and kubelet.

What a real node has at fixed paths it has too, as its own: /var/lib, /var/log, /run, and a first process with its
/proc/1. It shares the machine's kernel, clock, host name and network.
"""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab.controlplane.binaries import NODE, find_programs
from lab.controlplane.cluster import ControlPlane
from lab.controlplane.kubeconfig import write_certificate_kubeconfig
from lab.controlplane.pki import issue_client_certificate
from lab.guests.cgroup import prefer
from lab.guests.namespace import Namespace
from lab.node.binaries import containerd_tools
from lab.node.cgroup import hierarchies, make_top
from lab.node.config import CONTAINERD_SOCKET, containerd_config, kubelet_config, may_lower_oom_score
from lab.node.network import PLUGINS, Network
from lab.node.part import Part
from lab.node.small import pause_image
from lab.process import free_port, wait_for
from lab.rundir import RunDir
from tools.commands import run_logged
from tools.errors import ToolError
from tools.machine import ensure_packages

PACKAGES = ("runc", "util-linux")
READY_DEADLINE_S = 120.0
# The machine's folders that a node must not touch, and the node's own that hide them.
OWN_FOLDERS = {"/var/lib": "var-lib", "/var/log": "var-log"}
# The machine's settings that a kubelet changes: it changes files of the node's instead.
KERNEL_SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


class Node:
    """`start()` it and it registers itself; `kubelet` and `containerd` stop and start singly.

    `mounts` shows folders of the machine at paths of the node, below /run or /var/lib.
    """

    kubelet: Part
    containerd: Part

    def __init__(
        self,
        run: RunDir,
        control_plane: ControlPlane,
        network: Network,
        *,
        name: str = "node-1",
        mounts: Mapping[str, Path] | None = None,
    ) -> None:
        self.name = name
        self.folder = run.path / name
        self._run = run
        self._control_plane = control_plane
        self._network = network
        self._mounts = dict(mounts or {})
        self._cgroup = f"virtwatch-lab-{run.name}-{name}"
        self._opened: Namespace | None = None
        self._imported: set[Path] = set()

    @property
    def namespace(self) -> Namespace:
        if self._opened is None:
            raise ToolError(f"{self.name} is off: start() it.")
        return self._opened

    @property
    def pods_dir(self) -> Path:
        """The kubelet's pods folder, as the machine reaches it."""
        return self.folder / "var-lib" / "kubelet" / "pods"

    @property
    def cni(self) -> Path:
        """Where containerd finds by which plugin pods are connected; it follows a change."""
        return self.folder / "cni"

    @property
    def plugins(self) -> Path:
        """Where containerd finds plugins beside Debian's; none are there at first."""
        return self.folder / "cni-plugins"

    def pods_process(self, name: str, *, command: bytes = b"", environment: bytes = b"") -> int | None:
        """Find a process of one of the node's pods, as the machine numbers it, by parts of what it was started with."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                named = (folder / "comm").read_text() == f"{name[:15]}\n"
                if not named or not self._holds(folder):
                    continue
                if command in (folder / "cmdline").read_bytes() and environment in (folder / "environ").read_bytes():
                    return int(folder.name)
            except OSError:
                continue  # It ended while we looked.
        return None

    def prefer(self) -> None:
        """Let the node's pods have CPU time before what else the machine does, as far as they ask for it."""
        for mount in hierarchies().mounts:
            prefer(mount / self._cgroup)

    def start(self) -> None:
        """Switch the node on; return when the API says that it is Ready. Its disk holds what an earlier life left."""
        ensure_packages(PACKAGES)
        if not self.folder.exists():
            self._install()
        self._opened = Namespace.open(f"{self.name}-namespace", run=self._run, network=False, setup=self._setup())
        self.containerd.start(self._opened)
        self.import_image(pause_image())
        self.kubelet.start(self._opened)
        self.wait_ready()

    def attach(self) -> None:
        """Reach the node that another process of this run switched on."""
        self._opened = Namespace.attach(f"{self.name}-namespace", run=self._run)

    def stop(self) -> None:
        """Switch the node off in order: kubelet, containerd, then whatever ran on it."""
        if self._opened is not None:
            self.kubelet.stop()
            self.containerd.stop()
            self.lose_power()

    def lose_power(self) -> None:
        """End everything on the node at once. Its disk stays; `start()` switches it on again."""
        if self._opened is not None:
            # Before the namespaces, which end only when those that entered them have taken note.
            self.kubelet.kill()
            self.containerd.kill()
            self._opened.close()
            self._opened = None

    def wait_ready(self, deadline: float = READY_DEADLINE_S) -> None:
        """Return when the API says that the node is Ready."""
        what = f"{self.name} to be Ready"
        wait_for(self._ready, what=what, deadline=deadline, process=self.kubelet.process)

    def import_image(self, archive: Path) -> None:
        """Load the images of an archive (docker-archive) into the node's containerd, under the names in it."""
        log = self._run.path / "logs" / f"{self.name}-import.log"
        if archive not in self._imported:  # its disk keeps them, whatever is installed and removed
            run_logged(self.ctr("images", "import", "--local", archive), log=log, cwd=self._run.path)
            self._imported.add(archive)

    def name_by_digest(self, image: str) -> None:
        """Give an imported image its second name, NAME@sha256:..., as a pull from a registry would."""
        listed = subprocess.run(
            self.ctr("images", "list", f"name=={image}"), capture_output=True, text=True, check=True
        )
        digest = re.search(r"sha256:[0-9a-f]{64}", listed.stdout)
        if digest is None:
            raise ToolError(f"{self.name} has no image {image}: import_image() it.")
        self.name_image(image, f"{image.rpartition(':')[0]}@{digest[0]}")

    def name_image(self, image: str, other: str) -> None:
        """Give an imported image a further name."""
        subprocess.run(self.ctr("images", "tag", "--force", image, other), capture_output=True, check=True)

    def ctr(self, *arguments: str | Path) -> list[str]:
        """Return the command that asks the node's containerd about Kubernetes' images and containers."""
        return self.namespace.enter(containerd_tools() / "ctr", "--namespace", "k8s.io", *arguments)

    def _install(self) -> None:
        pki = self._control_plane.pki
        for own in OWN_FOLDERS.values():
            (self.folder / own).mkdir(parents=True)
        self.plugins.mkdir()
        self._network.write_cni(self.cni)
        # Without a search domain pods would get the domain `.`.
        resolv = self.folder / "resolv.conf"
        resolv.write_text("search lab.local\nnameserver 127.0.0.1\n")
        oom_score = may_lower_oom_score(Path("/proc/self/status").read_text())
        config = containerd_config(cni=self.cni, plugins=[PLUGINS, self.plugins], lower_oom_score=oom_score)
        (self.folder / "containerd.toml").write_text(config)
        config = kubelet_config(
            address=self._network.gateway,
            port=free_port(),
            health_port=free_port(),
            ca=pki.ca,
            resolv=resolv,
            cgroup=make_top(self._cgroup, run=self._run),
            unified=hierarchies().unified,
            oom_score=oom_score,
        )
        (self.folder / "kubelet.json").write_text(config)
        key = f"node-{self.name}"
        issue_client_certificate(pki, key, subject=f"/O=system:nodes/CN=system:node:{self.name}")
        kubeconfig = write_certificate_kubeconfig(
            self.folder / "kubeconfig",
            server=self._control_plane.server,
            ca=pki.ca,
            certificate=pki.certificate(key),
            key=pki.key(key),
        )
        tools = containerd_tools()
        self.containerd = Part(
            f"{self.name}-containerd",
            [
                *("env", f"PATH={tools}:/usr/sbin:/usr/bin:/sbin:/bin", tools / "containerd"),
                *("--config", self.folder / "containerd.toml"),
            ],
            run=self._run,
            socket=CONTAINERD_SOCKET,
        )
        self.kubelet = Part(
            f"{self.name}-kubelet",
            [
                find_programs(NODE)["kubelet"],
                f"--config={self.folder / 'kubelet.json'}",
                f"--kubeconfig={kubeconfig}",
                f"--hostname-override={self.name}",
                f"--node-ip={self._network.gateway}",
                "--cert-dir=/var/lib/kubelet/pki",
            ],
            run=self._run,
        )

    def _setup(self) -> list[tuple[str | Path, ...]]:
        commands: list[tuple[str | Path, ...]] = []
        for hidden, own in OWN_FOLDERS.items():
            commands.append(("mount", "--bind", self.folder / own, hidden))
        commands.append(("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"))
        commands.append(("mkdir", "-p", "/run/lock", "/run/netns", "/var/lib/kubelet"))
        for setting in (Path("/proc/sys", name) for name in KERNEL_SETTINGS):
            copy = self.folder / setting.name
            commands += [("cp", setting, copy), ("mount", "--bind", copy, setting)]
        for inside, outside in self._mounts.items():
            commands += [("mkdir", "-p", inside), ("mount", "--bind", outside, inside)]
        # As a machine's first process has it: what a pod mounts with Bidirectional propagation, others see.
        commands.append(("mount", "--make-rshared", "/"))
        return commands

    def _holds(self, process: Path) -> bool:
        # Pods have PID namespaces of their own; all are below the node's control group.
        return f"/{self._cgroup}/" in (process / "cgroup").read_text()

    def _ready(self) -> bool:
        node = self._control_plane.get(f"/api/v1/nodes/{self.name}")
        conditions = node.get("status", {}).get("conditions", [])
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
