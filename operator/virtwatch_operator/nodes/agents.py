# Whether each node's agent runs, by its Pod's readiness: the kubelet notices one that hangs, Kubernetes a dead node.
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from virtwatch_api.nodemonitor import AgentState
from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.policy_codec import timestamp

AGENT_LABELS = "app.kubernetes.io/name=virtwatch-agent"
# A rollout replaces each pod: nobody is notified of that.
START_S = 60.0
# A probe that failed by chance is not a dead agent; with the kubelet's 15 s, a hung one is known within 30.
GRACE_S = 8.0


@dataclass(frozen=True, slots=True)
class Observed:
    """Hold what is seen of a node's agent; `message` is a sentence that says what to do."""

    agent: AgentState
    message: str


@dataclass(slots=True)
class _Pod:
    """Hold one pod; `unready_since` is in the clock's seconds, None while it is ready."""

    name: str
    created: float
    unready_since: float | None
    was_ready: bool


class AgentPods:
    """Know the nodes on which agents' pods are scheduled, and how they are. Safe to use from several threads.

    `changed` is called with the node of a pod that came, went, or became ready or not. `clock` gives seconds since
    1970.
    """

    def __init__(self, changed: Callable[[str], None], *, clock: Callable[[], float] = time.time) -> None:
        self._changed = changed
        self._clock = clock
        self._pods: dict[str, dict[str, _Pod]] = {}
        self._node_of: dict[str, str] = {}
        self._gone: dict[str, float] = {}  # since when a node that had an agent has none
        self._watched_since: float | None = None
        self._said: dict[str, AgentState] = {}
        self._lock = threading.Lock()

    def on_change(self, old: Json | None, new: Json | None) -> None:
        """Take note of a pod that came, went, was scheduled or changed."""
        document = new or old
        assert document is not None
        name = document["metadata"]["name"]
        with self._lock:
            if self._watched_since is None:
                self._watched_since = self._clock()
            node = _node(document) or self._node_of.get(name, "")
            if not node:
                return
            self._node_of[name] = node
            if new is None:
                del self._node_of[name]
            pods = self._pods.setdefault(node, {})
            if new is None:
                pods.pop(name, None)
                if not pods:
                    del self._pods[node]
                    self._gone[node] = self._clock()
            else:
                self._gone.pop(node, None)
                self._note(pods, name, new)
            state = self._state(node)
            fresh = self._said.get(node) is not state or new is None
            self._said[node] = state
        if fresh:
            self._changed(node)

    def nodes(self) -> list[str]:
        """Return the nodes that have an agent."""
        with self._lock:
            return list(self._pods)

    def on_node(self, node: str) -> bool:
        """Return whether a node has an agent."""
        with self._lock:
            return node in self._pods

    def gone(self, node: str) -> bool:
        """Return whether a node has had no agent for a minute, so that none will be back soon."""
        with self._lock:
            # Who began to watch a moment ago may not have seen the pod that is replaced just now.
            since = self._gone.get(node, self._watched_since)
            return node not in self._pods and since is not None and self._clock() - since >= START_S

    def down(self, node: str) -> bool:
        """Return whether what a node said last may be old, for its agent does not run."""
        with self._lock:
            return self._state(node).down

    def observed(self, node: str) -> Observed:
        """Return what is seen of a node's agent."""
        with self._lock:
            pod = min(self._pods.get(node, {}), default="")
            return Observed(self._state(node), _SENTENCES[self._state(node)].format(pod=pod))

    def tick(self) -> None:
        """Call `changed` for each node that time alone has changed; to be called every few seconds."""
        with self._lock:
            states = {node: self._state(node) for node in (*self._pods, *self._gone)}
            changed = [node for node, state in states.items() if self._said.get(node) is not state]
            self._said.update(states)
        for node in changed:
            self._changed(node)

    def _note(self, pods: dict[str, _Pod], name: str, document: Json) -> None:
        ready, before = _ready(document), pods.get(name)
        if before is None:
            created = timestamp(document["metadata"].get("creationTimestamp"))
            pods[name] = _Pod(name, created, None if ready else self._clock(), was_ready=ready)
        elif ready:
            before.unready_since, before.was_ready = None, True
        elif before.unready_since is None:
            before.unready_since = self._clock()

    def _state(self, node: str) -> AgentState:
        pods = self._pods.get(node, {}).values()
        if any(pod.unready_since is None for pod in pods):
            return AgentState.READY
        now = self._clock()
        if not pods:
            gone = self._gone.get(node)
            return AgentState.STARTING if gone is not None and now - gone < START_S else AgentState.MISSING
        return min((self._state_of(pod, now) for pod in pods), key=_ORDER.index)

    @staticmethod
    def _state_of(pod: _Pod, now: float) -> AgentState:
        if pod.unready_since is None:
            return AgentState.READY
        if pod.was_ready:
            return AgentState.READY if now - pod.unready_since < GRACE_S else AgentState.NOT_READY
        return AgentState.STARTING if now - pod.created < START_S else AgentState.NOT_READY


_ORDER = (AgentState.READY, AgentState.STARTING, AgentState.NOT_READY, AgentState.MISSING)
_SENTENCES = {
    AgentState.READY: "pod {pod} is ready",
    AgentState.STARTING: "the agent's pod is about to start",
    AgentState.NOT_READY: "pod {pod} is not ready, so what this node reports may be old: kubectl describe pod {pod}",
    AgentState.MISSING: "no agent's pod is scheduled here, so what this node reports is old",
}


def _node(pod: Json) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")


def _ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
