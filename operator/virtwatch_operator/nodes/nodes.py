# One NodeMonitor for each node on which an agent is scheduled; the agent itself may not create it.
import threading
from collections import Counter
from collections.abc import Callable

from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import NotFound
from virtwatch_kube.paths import resource, virtwatch

MANAGER = "virtwatch-nodes"
AGENT_LABELS = "app.kubernetes.io/name=virtwatch-agent"


def nodemonitor_body(node: Json) -> Json:
    """Write the NodeMonitor of a Node: its labels, so that policies can select by them, and its end with the Node's."""
    metadata = node["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": API_VERSION,
        "kind": "NodeMonitor",
        "metadata": {
            "name": metadata["name"],
            "labels": dict(metadata.get("labels") or {}),
            "ownerReferences": [owner],
        },
    }


class AgentPods:
    """Know the nodes on which agents' pods are scheduled; `arrived` is called with the node of each new one."""

    def __init__(self, arrived: Callable[[str], None]) -> None:
        self._arrived = arrived
        self._pods: Counter[str] = Counter()
        self._lock = threading.Lock()

    def on_change(self, old: Json | None, new: Json | None) -> None:
        """Take note of a pod that came, went or was scheduled."""
        before, after = _node(old), _node(new)
        if before == after:
            return
        with self._lock:
            if before:
                self._pods[before] -= 1
            if after:
                self._pods[after] += 1
        if after:
            self._arrived(after)

    def nodes(self) -> list[str]:
        """Return the nodes that have an agent."""
        with self._lock:
            return [node for node, pods in self._pods.items() if pods > 0]

    def on_node(self, node: str) -> bool:
        """Tell whether a node has an agent."""
        with self._lock:
            return self._pods[node] > 0


class NodeReconciler:
    """Create NodeMonitors and keep their labels those of their Nodes."""

    def __init__(self, *, client: KubeClient, pods: AgentPods, known: Callable[[str], bool]) -> None:
        self._client = client
        self._pods = pods
        self._known = known
        self._written: dict[str, Json] = {}

    def reconcile(self, node: str) -> None:
        """Apply a node's NodeMonitor where it is missing or its labels are old.

        Raises:
            KubeError: the API server did not do its part.
        """
        if not self._pods.on_node(node):
            self._written.pop(node, None)
            return
        try:
            body = nodemonitor_body(self._client.get(resource("v1", "nodes", name=node)))
        except NotFound:
            self._written.pop(node, None)
            return
        if self._written.get(node) == body and self._known(node):
            return
        self._client.apply(virtwatch("nodemonitors", name=node), body, manager=MANAGER)
        self._written[node] = body


def _node(pod: Json | None) -> str:
    return str((pod or {}).get("spec", {}).get("nodeName") or "")
