# One NodeMonitor for each node on which an agent is scheduled, which the agent itself may not create; it also says what
# is seen of that agent.
import threading
import time
from collections.abc import Callable, Container

from virtwatch_api.nodemonitor_codec import Json, format_time
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_api.resolution import ANNOTATION_PREFIX
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, NotFound
from virtwatch_kube.paths import resource, virtwatch
from virtwatch_operator.nodes.agents import AgentPods

MANAGER = "virtwatch-nodes"
OBSERVED_MANAGER = "virtwatch-observed"


# Of a Node's labels these always stand on its NodeMonitor: a policy that is the first to select by one finds it there.
_WELL_KNOWN = ("kubernetes.io/", "topology.kubernetes.io/", "node-role.kubernetes.io/", "node.kubernetes.io/")


def followed(document: Json) -> Json:
    """Keep of a Node what its NodeMonitor takes over: its labels, and what its annotations say of rules."""
    metadata = document["metadata"]
    kept = {name: metadata.get(name, "") for name in ("name", "uid", "resourceVersion")}
    return {"metadata": {**kept, "labels": metadata.get("labels") or {}, "annotations": _rules_of(metadata)}}


def differs(old: Json | None, new: Json | None) -> bool:
    """Tell whether a Node says something else than before; one that is new is found by its agent's Pod."""
    if old is None or new is None:
        return False
    return any(old["metadata"][field] != new["metadata"][field] for field in ("labels", "annotations"))


def _rules_of(metadata: Json) -> Json:
    written = metadata.get("annotations") or {}
    return {key: text for key, text in written.items() if key.startswith(ANNOTATION_PREFIX)}


def nodemonitor_body(node: Json, keys: Container[str] = ()) -> Json:
    """Write the NodeMonitor of a Node: labels by which policies select it, its rules' annotations, its end with it.

    `keys` are those that policies name, beside the well-known ones.
    """
    metadata = node["metadata"]
    labels = (metadata.get("labels") or {}).items()
    rules = _rules_of(metadata)
    owner = {"apiVersion": "v1", "kind": "Node", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": API_VERSION,
        "kind": "NodeMonitor",
        "metadata": {
            "name": metadata["name"],
            "labels": {key: value for key, value in labels if key in keys or key.startswith(_WELL_KNOWN)},
            **({"annotations": rules} if rules else {}),
            "ownerReferences": [owner],
        },
    }


class NodeReconciler:
    """Create NodeMonitors, keep their labels those of their Nodes, and write there what is seen of the agents."""

    def __init__(
        self,
        *,
        client: KubeClient,
        pods: AgentPods,
        keys: Callable[[], Container[str] | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`keys` returns by which labels policies select nodes, None while not all policies are known."""
        self._client = client
        self._keys = keys
        self._pods = pods
        self._clock = clock
        self._written: dict[str, Json] = {}
        self._standing: dict[str, tuple[str, Json]] = {}  # a NodeMonitor's uid, and its spec.observed
        self._lock = threading.Lock()

    def noticed(self, node: str, document: Json | None) -> bool:
        """Take note of a NodeMonitor as it stands; tell whether it is not as it should be."""
        with self._lock:
            if document is None:
                return self._standing.pop(node, None) is not None
            observed = (document.get("spec") or {}).get("observed") or {}
            before = self._standing.get(node)
            self._standing[node] = document["metadata"]["uid"], observed
        return (before is None or before[1] != observed) and not self._is_right(node, observed)

    def reconcile(self, node: str) -> None:
        """Apply a node's NodeMonitor where it is missing, or what it says is old.

        Raises:
            KubeError: the API server did not do its part.
        """
        if self._pods.on_node(node):
            self._create(node)
        else:
            self._written.pop(node, None)
        with self._lock:
            standing = self._standing.get(node)
        if standing is not None and not self._is_right(node, standing[1]):
            self._write_observed(node, uid=standing[0])

    def _create(self, node: str) -> None:
        keys = self._keys()
        with self._lock:
            known = node in self._standing
        if known and keys is None:
            return  # the labels that it has are of policies that are not known yet
        try:
            body = nodemonitor_body(self._client.get(resource("v1", "nodes", name=node)), keys or ())
        except NotFound:
            self._written.pop(node, None)
            return
        if self._written.get(node) == body and known:
            return
        made = self._client.apply(virtwatch("nodemonitors", name=node), body, manager=MANAGER)
        self._written[node] = body
        with self._lock:
            self._standing.setdefault(node, (made["metadata"]["uid"], (made.get("spec") or {}).get("observed") or {}))

    def _is_right(self, node: str, observed: Json) -> bool:
        seen = self._pods.observed(node)
        return (observed.get("agent"), observed.get("message")) == (seen.agent.value, seen.message)

    def _write_observed(self, node: str, *, uid: str) -> None:
        seen = self._pods.observed(node)
        observed = {"agent": seen.agent.value, "message": seen.message, "since": format_time(self._clock())}
        body = {
            "apiVersion": API_VERSION,
            "kind": "NodeMonitor",
            # The uid keeps this from making a NodeMonitor anew whose Node is gone.
            "metadata": {"name": node, "uid": uid},
            "spec": {"observed": observed},
        }
        try:
            self._client.apply(virtwatch("nodemonitors", name=node), body, manager=OBSERVED_MANAGER)
        except (NotFound, Conflict):
            return
        with self._lock:
            self._standing[node] = uid, observed
