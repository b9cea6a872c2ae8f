"""One KubeVirt-shaped VM: its launcher on the machine, its Pod and its VMI in the API."""

from collections.abc import Mapping
from pathlib import Path

from lab.controlplane.cluster import ControlPlane
from lab.guests.guest import Guest
from lab.guests.launcher import Launcher
from lab.installed import objects
from lab.installed.written import create, create_pod
from lab.rundir import RunDir
from tools.errors import ToolError


class VirtualMachine:
    """`start()` it, use its `guest` and its `launcher`'s daemon, `stop()` it: the API shows what the machine does."""

    def __init__(
        self,
        run: RunDir,
        *,
        control_plane: ControlPlane,
        pods_dir: Path,
        node: str,
        namespace: str,
        name: str,
        labels: Mapping[str, str],
        linux: bool = True,
    ) -> None:
        self.namespace, self.name = namespace, name
        self._run = run
        self._control_plane = control_plane
        self._pods_dir = pods_dir
        self._node = node
        self._labels = labels
        self._linux = linux
        self._launcher: Launcher | None = None
        self._pod = ""

    @property
    def launcher(self) -> Launcher:
        if self._launcher is None:
            raise ToolError(f"The VM {self.namespace}/{self.name} was not started.")
        return self._launcher

    @property
    def guest(self) -> Guest:
        return self.launcher.guest

    def start(self) -> None:
        """Make the Pod, start the guest in its launcher, and show the VMI as running on its node."""
        pod = create_pod(
            self._control_plane, objects.launcher_pod(namespace=self.namespace, vmi=self.name, node=self._node)
        )
        self._pod = pod["metadata"]["name"]
        self._launcher = Launcher(
            self._run,
            pods_dir=self._pods_dir,
            pod_uid=pod["metadata"]["uid"],
            namespace=self.namespace,
            vmi=self.name,
            linux=self._linux,
        )
        self._launcher.start()
        facts = objects.VmiFacts(
            namespace=self.namespace,
            name=self.name,
            node=self._node,
            pod_uid=self._launcher.pod_uid,
            domain_uuid=self._launcher.guest.uuid,
            labels=self._labels,
        )
        create(self._control_plane, objects.vmi(facts))

    def stop(self) -> None:
        """End the guest and its launcher, then delete Pod and VMI, as when a VMI is deleted."""
        self.launcher.stop()
        self._launcher = None
        for thing in (f"pod/{self._pod}", f"virtualmachineinstance/{self.name}"):
            self._control_plane.kubectl("delete", thing, f"--namespace={self.namespace}", "--ignore-not-found")
