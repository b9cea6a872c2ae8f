from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.guests.guest import Guest
from lab.node.cluster import Cluster
from lab.node.node import Node
from lab.node.virtwatch import NAMESPACE, wait_ready
from lab.process import wait_for
from tools.images.product import AGENT, OPERATOR
from virtwatch_kube.paths import virtwatch

IMAGES = {"deployment/virtwatch-operator": OPERATOR, "daemonset/virtwatch-agent": AGENT}
DEADLINE_S = 180.0


@dataclass(frozen=True, slots=True)
class Site:
    """A node whose own libvirtd has one VM, for virtwatch to be installed on."""

    cluster: Cluster
    node: Node
    guest: Guest

    def kubectl(self, *arguments: str, **options: Any) -> str:
        """Run kubectl as the admin and return what it said."""
        return self.cluster.control_plane.kubectl(*arguments, **options).stdout

    def status(self) -> dict[str, Any]:
        """Return the status of the node's NodeMonitor, empty while there is none."""
        monitor = self.cluster.control_plane.get(virtwatch("nodemonitors", name=self.node.name))
        return dict(monitor.get("status", {}))

    def policies(self) -> list[str]:
        """Name the policies by which the agent judges."""
        return [applied["policy"]["name"] for applied in self.status().get("applied", [])]

    def judge_by(self, *source: str, name: str, **options: Any) -> None:
        """Apply a policy and return when the agent judges by it."""
        self.kubectl("apply", *source, **options)
        self.wait(lambda: name in self.policies(), what=f"the agent to judge by {name}")

    def renew(self, *commands: Sequence[str]) -> None:
        """Run commands that replace all pods; return when the new ones are ready and their agent has reported."""
        before = self.status()["agent"]["started"]
        for command in commands:
            self.kubectl(*command, "--namespace", NAMESPACE)
        wait_ready(self.cluster)
        self.wait(lambda: self.status()["agent"]["started"] != before, what="the new agent to report")

    def upgrade(self, tag: str) -> None:
        """Give every pod an image of another tag, as `renew` does."""
        others = {workload: f"{image.rpartition(':')[0]}:{tag}" for workload, image in IMAGES.items()}
        for workload, other in others.items():
            self.node.name_image(IMAGES[workload], other)
        self.renew(*(("set", "image", workload, f"*={other}") for workload, other in others.items()))

    def wait(self, condition: Callable[[], bool], *, what: str) -> None:
        """Return when the condition holds."""
        wait_for(condition, what=what, deadline=DEADLINE_S)
