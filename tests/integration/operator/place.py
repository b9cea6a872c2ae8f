# One test's place in the cluster, and what its users, agents and operators do there.
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lab.controlplane.cluster import ControlPlane
from lab.installed.objects import VmiFacts, vmi
from lab.process import Process, free_port, next_poll, start
from tests.integration.operator.stand_in import StandIn
from tools.checkout import CHECKOUT
from virtwatch_api.nodemonitor_codec import format_time
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_api.targets import Subject, vm_ref
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import KubeError, NotFound
from virtwatch_kube.paths import EVENTS, KUBEVIRT, resource, virtwatch

DEADLINE_S = 120.0
RULE = {
    "name": "cpu-starved",
    "threshold": {
        "signal": "vm.cpu.delay.ratio",
        "warning": {"above": "0.05", "recover": "0.03"},
        "critical": {"above": "0.1", "recover": "0.06"},
    },
}
NOT_YET = {"name": "full", "threshold": {"signal": "vm.guest.load.ratio", "warning": {"above": "90%"}}}


def eventually(condition: Callable[[], Any], *, what: str, deadline: float = DEADLINE_S) -> Any:
    """Return the first true value of `condition`, whatever the API server says, or lacks still, meanwhile."""
    begun = time.monotonic()
    while True:
        said: Any = "it is not so"
        try:
            if value := condition():
                return value
        except (KubeError, LookupError, TypeError) as error:  # of a status, too, that is not all there yet
            said = repr(error)
        waited = time.monotonic() - begun
        assert waited < deadline, f"waited {deadline:g} s in vain for {what}: {said}"
        time.sleep(next_poll(waited))


@dataclass(frozen=True, slots=True)
class Place:
    """One test's namespaces, nodes and operators; all its names begin with `name`, its operators serve in `system`."""

    cluster: ControlPlane
    client: KubeClient
    name: str
    started: list[Process]
    numbers: Iterator[int]

    @property
    def system(self) -> str:
        return f"{self.name}-system"

    @property
    def other(self) -> str:
        return f"{self.name}-other"

    def api_server_returns(self) -> None:
        """Start the API server again, and what would notice only a minute later that it is back.

        Kubernetes' controllers wait longer each time before they look for it again; no namespace gets its
        ServiceAccount, and so no pod is admitted to it, until they have.
        """
        self.cluster.apiserver.restart()
        self.cluster.wait_ready()
        self.cluster.controller_manager.kill()
        self.cluster.controller_manager.restart()

    def operator(self, **env: str) -> Process:
        """Start a replica; without a Lease unless `env` says so."""
        name = f"{self.name}-operator-{next(self.numbers)}"
        settings = {
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "POD_NAMESPACE": self.system,
            "POD_NAME": name,
            "VIRTWATCH_LEASE": "off",
            "VIRTWATCH_EVENT_BURST": "1000000",
            "VIRTWATCH_HEALTH_PORT": str(free_port()),
            "PYTHONPATH": str(CHECKOUT / "tests" / "older"),  # which does not collect what NOT_YET needs
            **env,
        }
        made = start(
            name, [sys.executable, "-m", "virtwatch_operator"], run_dir=self.cluster.folder.parent, env=settings
        )
        self.started.append(made)
        return made

    def policy(self, *rules: dict[str, Any], name: str = "p", **spec: Any) -> PolicyKey:
        """Apply a MonitorPolicy as a user would."""
        key = PolicyKey(PolicyKind.MONITOR_POLICY, name, self.name)
        self._apply_policy(key, {"rules": list(rules) or [RULE], **spec})
        return key

    def cluster_policy(self, **spec: Any) -> PolicyKey:
        """Apply a ClusterMonitorPolicy as an admin would."""
        key = PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, self.name)
        self._apply_policy(key, {"rules": [RULE], **spec})
        return key

    def _apply_policy(self, key: PolicyKey, spec: dict[str, Any]) -> None:
        body = {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": key.kind.value,
            "metadata": {"name": key.name, **({"namespace": key.namespace} if key.namespace else {})},
            "spec": spec,
        }
        self.client.apply(self.path(key), body, manager="user")

    def path(self, key: PolicyKey) -> str:
        plural = "monitorpolicies" if key.namespace else "clustermonitorpolicies"
        return virtwatch(plural, namespace=key.namespace, name=key.name)

    def status(self, key: PolicyKey) -> dict[str, Any]:
        return self.client.get(self.path(key)).get("status") or {}

    def condition(self, key: PolicyKey, name: str) -> dict[str, Any]:
        conditions = self.status(key).get("conditions", [])
        return next((item for item in conditions if item["type"] == name), {"status": "", "reason": "", "message": ""})

    def thresholds(self, key: PolicyKey) -> dict[str, Any] | None:
        where, name = (key.namespace, key.name) if key.namespace else (self.system, f"cluster.{key.name}")
        try:
            return self.client.get(virtwatch("thresholdsets", namespace=where, name=name))
        except NotFound:
            return None

    def agent(self, node: str = "n1", *, namespace: str | None = None) -> StandIn:
        """Schedule an agent on a node, and stand in its place once the operator has made the NodeMonitor."""
        full = f"{self.name}-{node}"
        self.add_agent_pod(full)
        path = virtwatch("nodemonitors", name=full)
        eventually(lambda: self.client.get(path), what=f"NodeMonitor {full}")
        return StandIn(self.client, full, self.subject(namespace=namespace))

    def add_agent_pod(self, node: str) -> None:
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": {"zone": "a"}}}
        self.client.create(resource("v1", "nodes"), body)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"agent-{node}", "labels": {"app.kubernetes.io/name": "virtwatch-agent"}},
            "spec": {
                "nodeName": node,
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "agent", "image": "none"}],
            },
        }
        made = self.client.create(resource("v1", "pods", namespace=self.system), pod)
        self.set_ready(made)

    def pod(self, node: str) -> dict[str, Any]:
        """Return the pod of a node's agent."""
        return self.client.get(resource("v1", "pods", namespace=self.system, name=f"agent-{node}"))

    def set_ready(self, pod: dict[str, Any], ready: str = "True") -> None:
        """Say of an agent's pod what its kubelet would."""
        name = pod["metadata"]["name"]
        body = {**pod, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}}
        body["metadata"].pop("resourceVersion", None)
        path = resource("v1", "pods", namespace=self.system, name=name, subresource="status")
        self.client.replace(path, body, manager="kubelet")

    def vmi(self, name: str, node: str, *, namespace: str | None = None) -> Subject:
        """Let a KubeVirt VM run on a node."""
        pod, place = str(uuid.uuid4()), namespace or self.name
        facts = VmiFacts(namespace=place, name=name, node=node, pod_uid=pod, domain_uuid=pod, labels={})
        made = self.client.create(resource(KUBEVIRT, "virtualmachineinstances", namespace=place), vmi(facts))
        return Subject(f"{place}_{name}", vm_ref(pod), node, place, name, made["metadata"]["uid"])

    def move(self, name: str, node: str, *, to: str) -> None:
        """Let a VM begin to migrate."""
        labels = {"kubevirt.io/nodeName": node, "kubevirt.io/migrationTargetNodeName": to}
        body = {"apiVersion": KUBEVIRT, "kind": "VirtualMachineInstance", "metadata": {"name": name, "labels": labels}}
        path = resource(KUBEVIRT, "virtualmachineinstances", namespace=self.name, name=name)
        self.client.apply(path, body, manager="virt-controller")

    def moved(self, name: str, node: str, *, to: str) -> None:
        """Let a VM have migrated just now, as KubeVirt leaves it after its last cleanup."""
        migration = {
            "sourceNode": node,
            "targetNode": to,
            "endTimestamp": format_time(time.time())[:19] + "Z",
            "completed": True,
        }
        body = {
            "apiVersion": KUBEVIRT,
            "kind": "VirtualMachineInstance",
            "metadata": {"name": name, "labels": {"kubevirt.io/nodeName": to}},
            "status": {"nodeName": to, "migrationState": migration},
        }
        path = resource(KUBEVIRT, "virtualmachineinstances", namespace=self.name, name=name)
        self.client.apply(path, body, manager="virt-controller")

    def subject(self, *, namespace: str | None = None) -> Subject:
        return Subject(
            "web-1",
            vm_ref("4dea22b3-0000-0000-0000-000000000001"),
            "",
            namespace or self.name,
            "web-1",
            "vmi-uid",
        )

    def events(self, namespace: str | None = None) -> list[dict[str, Any]]:
        """Return virtwatch's Events of the test's namespace."""
        found = self.client.list(resource(EVENTS, "events", namespace=namespace or self.name))
        return [item for item in found if item.get("reportingController") == "virtwatch.io/operator"]

    def told(self, *agents: StandIn) -> None:
        """Assert that each transition of each agent has one Event about the VM and one about the policy."""
        expected = Counter(
            (format_time(item.at), kind)
            for agent in agents
            for item in agent.journal
            for kind in ("VirtualMachineInstance", item.alert.policy.kind.value)
        )
        assert Counter((item["eventTime"], item["regarding"]["kind"]) for item in self.events()) == expected


def says(process: Process, text: str) -> bool:
    """Tell whether a process has logged this."""
    return text in process.log.read_text()


def progress(agent: StandIn) -> None:
    """Wait until one more transition is acknowledged."""
    before = agent.acknowledged
    eventually(lambda: agent.acknowledged > before, what="an acknowledgement")
