# One NodeMonitor for each node on which an agent is scheduled, which the agent itself may not create; it also says what
# is seen of that agent.
import threading
import time
from collections.abc import Callable, Container
from dataclasses import dataclass, replace

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
    """Return whether a Node says something else than before; one that is new is found by its agent's Pod.

    `old` is as `followed` keeps it, `new` whole.
    """
    if old is None or new is None:
        return False
    now = followed(new)
    return any(old["metadata"][field] != now["metadata"][field] for field in ("labels", "annotations"))


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


@dataclass(frozen=True, slots=True)
class _Standing:
    """Hold what stands on a NodeMonitor: its uid, its spec.observed, and a digest of what its Node gives it."""

    uid: str
    observed: Json
    digest: int


def _standing(document: Json) -> _Standing:
    observed = (document.get("spec") or {}).get("observed") or {}
    return _Standing(document["metadata"]["uid"], observed, _digest(document["metadata"]))


def _digest(metadata: Json) -> int:
    owners = frozenset(owner["uid"] for owner in metadata.get("ownerReferences") or ())
    labels, rules = metadata.get("labels") or {}, _rules_of(metadata)
    return hash((frozenset(labels.items()), frozenset(rules.items()), owners))


class NodeReconciler:
    """Create NodeMonitors, keep their labels those of their Nodes, and write there what is seen of the agents."""

    def __init__(
        self,
        *,
        client: KubeClient,
        pods: AgentPods,
        keys: Callable[[], Container[str] | None],
        node_of: Callable[[str], Json | None],
        received: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Hold what to ask.

        `keys` returns by which labels policies select nodes, None while not all policies are known. `node_of` returns a
        Node as `followed` keeps it, None where it was not seen; `heard` tells whether all NodeMonitors were.
        """
        self._client = client
        self._keys = keys
        self._node_of = node_of
        self._received = received
        self._pods = pods
        self._clock = clock
        self._written: dict[str, tuple[Json, int]] = {}  # with the digest of what came of it
        self._standing: dict[str, _Standing] = {}
        self._lock = threading.Lock()

    def noticed(self, node: str, document: Json | None) -> bool:
        """Take note of a NodeMonitor as it stands; return whether it is not as it should be."""
        with self._lock:
            if document is None:
                return self._standing.pop(node, None) is not None
            before = self._standing.get(node)
            now = self._standing[node] = _standing(document)
        if before is not None and before.digest != now.digest:
            return True  # somebody edited it
        return (before is None or before.observed != now.observed) and not self._is_right(node, now.observed)

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
        if standing is not None and not self._is_right(node, standing.observed):
            self._write_observed(node, standing)

    def _create(self, node: str) -> None:
        keys = self._keys()
        with self._lock:
            standing = self._standing.get(node)
        if standing is None and not self._received():
            return  # it may be there
        if standing is not None and keys is None:
            return  # the labels that it has are of policies that are not known yet
        try:
            found = self._node_of(node) or self._client.get(resource("v1", "nodes", name=node))
        except NotFound:
            self._written.pop(node, None)
            return
        body = nodemonitor_body(found, keys or ())
        # Else each new leader would write to all nodes what stands there.
        if standing is not None and standing.digest in (_digest(body["metadata"]), self._made_of(node, body)):
            return
        made = self._client.apply(virtwatch("nodemonitors", name=node), body, manager=MANAGER)
        now = _standing(made)
        self._written[node] = body, now.digest
        with self._lock:
            if self._standing.get(node) is standing:  # else a watch has told of it since
                self._standing[node] = now if standing is None else replace(standing, digest=now.digest)

    def _made_of(self, node: str, body: Json) -> int | None:
        """Return the digest that came of the same body: with labels of others, which are theirs, none is like ours."""
        written, digest = self._written.get(node, (None, None))
        return digest if written == body else None

    def _is_right(self, node: str, observed: Json) -> bool:
        seen = self._pods.observed(node)
        return (observed.get("agent"), observed.get("message")) == (seen.agent.value, seen.message)

    def _write_observed(self, node: str, standing: _Standing) -> None:
        seen = self._pods.observed(node)
        observed = {"agent": seen.agent.value, "message": seen.message, "since": format_time(self._clock())}
        body = {
            "apiVersion": API_VERSION,
            "kind": "NodeMonitor",
            # The uid keeps this from making a NodeMonitor again whose Node is gone.
            "metadata": {"name": node, "uid": standing.uid},
            "spec": {"observed": observed},
        }
        try:
            self._client.apply(virtwatch("nodemonitors", name=node), body, manager=OBSERVED_MANAGER)
        except (NotFound, Conflict):
            return
        with self._lock:
            self._standing[node] = replace(self._standing.get(node, standing), observed=observed)
