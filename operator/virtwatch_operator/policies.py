# What the operator knows of each policy: its identity, what was decided about it, what is in force.
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.policy import Enforcement, Notify, PolicyKey, PolicyKind, Rule
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.conditions import Finding
from virtwatch_rules.pattern.groups import OVER_NODES, joined_by

PLURAL = {PolicyKind.MONITOR_POLICY: "monitorpolicies", PolicyKind.CLUSTER_MONITOR_POLICY: "clustermonitorpolicies"}


def policy_path(key: PolicyKey, *, subresource: str | None = None) -> str:
    """Return the path of a policy."""
    return virtwatch(PLURAL[key.kind], namespace=key.namespace, name=key.name, subresource=subresource)


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what a watch says of a policy; no uid where it is gone or going."""

    uid: str
    generation: int
    version: str
    status: Json


@dataclass(frozen=True, slots=True)
class InForce:
    """Say which ThresholdSet agents judge by: its hash, and the policy's generation whose meaning it holds."""

    hash: str
    generation: int
    enforcement: Enforcement


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """Hold what reconciling a policy found.

    `status` is what the policy held when it was read, at resourceVersion `read_at`; `version` is the resourceVersion of
    its ThresholdSet, found right.
    """

    key: PolicyKey
    uid: str
    generation: int
    accepted: Finding
    in_force: InForce | None
    status: Json
    notify: tuple[Notify, ...] = ()
    rules: tuple[Rule, ...] = ()  # of the newest generation, none where that is not valid
    version: str = ""
    read_at: str = ""
    node_keys: frozenset[str] = frozenset()  # of the labels by which it selects nodes
    kind: TargetKind = TargetKind.VIRTUAL_MACHINE  # what it watches
    selects: str = ""  # by what it narrows that down, for people
    interval: float = 0.0  # seconds between looks


class PolicyBook:
    """Hold the facts of every policy. Safe to use from several threads."""

    def __init__(self) -> None:
        self._facts: dict[PolicyKey, PolicyFacts] = {}
        self._lock = threading.Lock()

    def get(self, key: PolicyKey) -> PolicyFacts | None:
        """Return what is known of a policy."""
        with self._lock:
            return self._facts.get(key)

    def put(self, facts: PolicyFacts) -> None:
        """Replace what is known of a policy."""
        with self._lock:
            self._facts[facts.key] = facts

    def forget(self, key: PolicyKey) -> None:
        """Drop a policy that is gone."""
        with self._lock:
            self._facts.pop(key, None)

    def node_keys(self) -> frozenset[str]:
        """Return the keys of labels by which any policy selects nodes."""
        return frozenset().union(*(facts.node_keys for facts in self.all()))

    def spans_nodes(self, key: PolicyKey, rule: str) -> bool:
        """Return whether the operator itself judges a policy's rule, as its newest valid generation says it."""
        facts = self.get(key)
        return facts is not None and any(one.name == rule and joined_by(one) in OVER_NODES for one in facts.rules)

    def all(self) -> Iterable[PolicyFacts]:
        """Return all facts as they are now."""
        with self._lock:
            return tuple(self._facts.values())
