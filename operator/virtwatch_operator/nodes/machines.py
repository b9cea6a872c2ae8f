# Where each KubeVirt VM is, was a moment ago or migrates to, by its VMI's labels and its last migration: a node is
# believed by that alone.
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.policy_codec import timestamp
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import NotFound
from virtwatch_kube.paths import KUBEVIRT, resource

# KubeVirt's own labels; its webhook lets nobody else set them.
_NODE = "kubevirt.io/nodeName"
_TARGET = "kubevirt.io/migrationTargetNodeName"
# What a node says of a VM that has left it, or ended, still counts for so long.
LINGER_S = 600.0
_SWEEP_S = 60.0


def slim(document: Json) -> Json:
    """Keep of a VMI what tells where it is."""
    metadata = document["metadata"]
    labels = metadata.get("labels") or {}
    kept = {name: metadata.get(name, "") for name in ("namespace", "name", "uid", "resourceVersion")}
    return {"metadata": {**kept, "labels": {name: labels[name] for name in (_NODE, _TARGET) if name in labels}}}


def _left_last(document: Json) -> tuple[str, float]:
    """Return the node from which a VMI's last migration took it, and when, in seconds since 1970; "" where none did.

    That the VMI is on the migration's target shows that it moved: KubeVirt writes `completed` later than the label.
    """
    migration = (document.get("status") or {}).get("migrationState") or {}
    source, target = migration.get("sourceNode"), migration.get("targetNode")
    here = (document["metadata"].get("labels") or {}).get(_NODE)
    if not isinstance(source, str) or not here or target != here:
        return "", 0.0
    try:
        return source, timestamp(migration.get("endTimestamp"))
    except (ValueError, OverflowError):
        return "", 0.0


@dataclass(slots=True)
class _Instance:
    """Hold one VMI: the nodes that it is on, and until when what those say counts that it has left."""

    uid: str
    nodes: frozenset[str] = frozenset()
    left: dict[str, float] = field(default_factory=dict)

    def was_on(self, node: str, now: float) -> bool:
        return node in self.nodes or self.left.get(node, 0.0) > now


class VirtualMachines:
    """Know where VMs are. Safe to use from several threads; `moved` is called with each node that got or lost one.

    `wall_clock` gives seconds since 1970, for the times that KubeVirt writes.
    """

    def __init__(
        self,
        *,
        client: KubeClient,
        moved: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._moved = moved
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._here: dict[tuple[str, str], _Instance] = {}
        self._gone: dict[tuple[str, str, str], _Instance] = {}
        self._count: Counter[tuple[str, str]] = Counter()  # VMs by node and namespace
        self._left: dict[tuple[str, str], float] = {}  # until when the last one that left a node still counts
        self._known_since: float | None = None
        self._swept = 0.0

    def on_change(self, old: Json | None, new: Json | None) -> None:
        """Take note of a VMI that came, went or moved."""
        document = new or old
        assert document is not None
        metadata = document["metadata"]
        moved = self._take((metadata["namespace"], metadata["name"]), slim(new) if new is not None else None)
        for node in moved:
            self._moved(node)

    def on_synced(self) -> None:
        """Take note that all VMIs are known."""
        with self._lock:
            if self._known_since is None:
                self._known_since = self._clock()

    def is_on(self, node: str, *, namespace: str, name: str, uid: str) -> bool:
        """Return whether a VM is on a node, is about to be, or was until 10 min ago."""
        with self._lock:
            now = self._clock()
            seen = self._seen(node, (namespace, name), uid, now)
            return self._may_have_ended(uid, now) if seen is None else seen

    def confirm(self, node: str, *, namespace: str, name: str, uid: str) -> bool:
        """Tell the same; ask the API server where the watch does not say yes.

        The watch may be behind, and one that began after a VM had moved never saw it on the node that it left.

        Raises:
            KubeError: the API server did not answer.
        """
        key = (namespace, name)
        with self._lock:
            if self._seen(node, key, uid, self._clock()):
                return True
        path = resource(KUBEVIRT, "virtualmachineinstances", namespace=namespace, name=name)
        with suppress(NotFound):
            self._take(key, slim(self._client.get(path, metadata_only=True)))
            if not self.is_on(node, namespace=namespace, name=name, uid=uid):
                self._note_migration(key, self._client.get(path))
        return self.is_on(node, namespace=namespace, name=name, uid=uid)

    def _note_migration(self, key: tuple[str, str], document: Json) -> None:
        """Take note of the node that a VMI has just left, by KubeVirt's word."""
        node, ended = _left_last(document)
        ago = self._wall_clock() - ended
        with self._lock:
            here = self._here.get(key)
            if not node or abs(ago) >= LINGER_S or here is None or here.uid != document["metadata"]["uid"]:
                return
            until = self._clock() + LINGER_S - max(ago, 0.0)
            if here.left.get(node, 0.0) >= until:
                return
            here.left[node] = until
            where = (node, key[0])
            self._left[where] = max(self._left.get(where, 0.0), until)
        self._moved(node)

    def _seen(self, node: str, key: tuple[str, str], uid: str, now: float) -> bool | None:
        """Return whether a VM was seen on a node; None where it was never seen at all."""
        here = self._here.get(key)
        if here is not None and uid in ("", here.uid):
            return here.was_on(node, now)
        gone = self._gone.get((*key, uid))
        return gone.was_on(node, now) if gone is not None else None

    def _may_have_ended(self, uid: str, now: float) -> bool:
        # Where a VM was that ended before this process began nobody knows, and its end is still to be reported.
        return bool(uid) and self._known_since is not None and now - self._known_since < LINGER_S

    def knows(self, namespace: str, name: str) -> bool:
        """Return whether there is a VM of this name; of one that a node's libvirt alone knows, its word counts."""
        with self._lock:
            return (
                not name or (namespace, name) in self._here or any(key[:2] == (namespace, name) for key in self._gone)
            )

    def any_on(self, node: str, namespace: str) -> bool:
        """Return whether any VM of a namespace is on a node, is about to be, or was until 10 min ago."""
        with self._lock:
            where, now = (node, namespace), self._clock()
            seen = self._count[where] > 0 or self._left.get(where, 0.0) > now
            return seen or self._may_have_ended("any", now)

    def _take(self, key: tuple[str, str], document: Json | None) -> frozenset[str]:
        """Take the newest of one VMI; return the nodes for which that changed something."""
        with self._lock:
            now = self._clock()
            self._sweep(now)
            before = self._here.get(key)
            if document is None:
                self._here.pop(key, None)
                return self._retire(key, before, now)
            labels, uid = document["metadata"]["labels"], document["metadata"]["uid"]
            nodes = frozenset(filter(None, (labels.get(_NODE), labels.get(_TARGET))))
            if before is not None and before.uid == uid:
                return self._place(key[0], before, nodes, now)
            fresh = self._here[key] = _Instance(uid)
            return self._retire(key, before, now) | self._place(key[0], fresh, nodes, now)

    def _retire(self, key: tuple[str, str], item: _Instance | None, now: float) -> frozenset[str]:
        if item is None:
            return frozenset()
        self._gone[(*key, item.uid)] = item
        return self._place(key[0], item, frozenset(), now)

    def _place(self, namespace: str, item: _Instance, nodes: frozenset[str], now: float) -> frozenset[str]:
        for node in nodes - item.nodes:
            self._count[node, namespace] += 1
        for node in item.nodes - nodes:
            self._count[node, namespace] -= 1
            self._left[node, namespace] = item.left[node] = now + LINGER_S
        changed, item.nodes = item.nodes ^ nodes, nodes
        return changed

    def _sweep(self, now: float) -> None:
        if now - self._swept < _SWEEP_S:
            return
        self._swept = now
        self._left = {where: end for where, end in self._left.items() if end > now}
        self._count = Counter({where: count for where, count in self._count.items() if count > 0})
        for item in self._here.values():
            item.left = {node: end for node, end in item.left.items() if end > now} if item.left else item.left
        for key in [key for key, item in self._gone.items() if all(end <= now for end in item.left.values())]:
            del self._gone[key]
