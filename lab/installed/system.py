"""The smallest whole virtwatch: a control plane, one operator, one node's agent, and VMs that cost next to nothing."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from lab.controlplane.cluster import ControlPlane
from lab.installed.installation import Host, Installation
from lab.installed.virtualmachine import VirtualMachine
from lab.installed.written import create_node
from lab.process import Process, wait_for
from lab.rundir import RunDir
from virtwatch_kube.paths import virtwatch

READY_DEADLINE_S = 120.0
# Tests and benches tell more of one VM than a person would want to read.
BURST = {"VIRTWATCH_EVENT_BURST": "100000", "VIRTWATCH_TRANSITION_BURST": "100000"}


class System:
    """`start()` it on a running control plane; `operator` and `agent` are there to be killed and restarted."""

    operator: Process
    agent: Process

    def __init__(
        self,
        run: RunDir,
        control_plane: ControlPlane,
        *,
        namespace: str,
        otlp: str | None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`env` is added to both processes' environment."""
        self.namespace, self.node = namespace, "node-1"
        self.control_plane = control_plane
        self.machines: list[VirtualMachine] = []
        self.state_dir = run.path / "state"
        self.pods_dir = run.path / "pods"
        self._installation = Installation(run, control_plane, otlp=otlp)
        self._run = run
        self._env = {**BURST, **(env or {})}

    @property
    def host(self) -> Host:
        """What the agent is reported of its node; no libvirt of the host's own runs there."""
        return Host(
            node=self.node,
            pods_dir=self.pods_dir,
            libvirt_socket=self._run.path / "no-libvirt-sock",
            state_dir=self.state_dir,
        )

    def start(self) -> None:
        """Apply the manifests, start operator and agent, and return when the agent reports."""
        self.pods_dir.mkdir()
        self.control_plane.kubectl("create", "namespace", self.namespace)
        create_node(self.control_plane, self.node)
        self._installation.apply()
        self.operator = self._installation.start_operator(**self._env)
        self.agent = self._installation.start_agent(self.host, **self._env)
        self.wait(lambda: "agent" in self.status(), what=f"the agent of {self.node} to report")

    def stop(self) -> None:
        """End the VMs, the agent and the operator."""
        for machine in self.machines:
            machine.launcher.stop()
        self.agent.stop()
        self.operator.stop()

    def add(self, name: str, *, linux: bool = False, labels: dict[str, str] | None = None) -> VirtualMachine:
        """Start a further VM; without Linux it is paused and has no operating system."""
        machine = VirtualMachine(
            self._run,
            control_plane=self.control_plane,
            pods_dir=self.pods_dir,
            node=self.node,
            namespace=self.namespace,
            name=name,
            labels=labels or {"tier": "web"},
            linux=linux,
        )
        self.machines.append(machine)
        machine.start()
        return machine

    def apply(self, document: dict[str, Any]) -> None:
        """Apply an object."""
        self.control_plane.kubectl("apply", "-f", "-", input=json.dumps(document))

    def put_in_force(self, name: str, *rules: dict[str, Any], **spec: Any) -> None:
        """Apply a MonitorPolicy with these rules and return when the agent judges by it."""
        self.apply(monitor_policy(name, self.namespace, *rules, **spec))
        self.wait(lambda: self.condition(name, "Ready") == "True", what=f"the policy {name} to be Ready")

    def condition(self, policy: str, type_: str) -> str:
        """Return the status of a policy's condition, of its newest generation; empty when there is none."""
        document = self.policy(policy)
        status = document.get("status", {})
        if not document or status.get("observedGeneration") != document["metadata"]["generation"]:
            return ""
        return next((item["status"] for item in status.get("conditions", []) if item["type"] == type_), "")

    def status(self) -> dict[str, Any]:
        """Return the status of the node's NodeMonitor, empty while there is none."""
        status: dict[str, Any] = self.monitor().get("status", {})
        return status

    def monitor(self) -> dict[str, Any]:
        """Return the node's NodeMonitor, empty while there is none."""
        return self.control_plane.get(virtwatch("nodemonitors", name=self.node))

    def policy(self, name: str) -> dict[str, Any]:
        """Return a MonitorPolicy of the namespace, empty while there is none."""
        return self.control_plane.get(virtwatch("monitorpolicies", namespace=self.namespace, name=name))

    def wait(self, condition: Callable[[], bool], *, what: str, deadline: float = READY_DEADLINE_S) -> None:
        """Return when the condition holds; fail after the deadline, or when the agent ends."""
        wait_for(condition, what=what, deadline=deadline, process=self.agent)

    def wait_without_agent(self, condition: Callable[[], bool], *, what: str) -> None:
        """Return when the condition holds, while the agent does not run."""
        wait_for(condition, what=what, deadline=READY_DEADLINE_S, process=self.operator)


def monitor_policy(name: str, namespace: str, *rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a MonitorPolicy."""
    return {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "MonitorPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"rules": list(rules), **spec},
    }
