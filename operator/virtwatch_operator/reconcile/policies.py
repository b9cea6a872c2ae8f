# From a policy to its ThresholdSet. Level-based: reads what is there, writes what is missing, remembers what it found.
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry.trace import Tracer

from virtwatch_api.compile import compile_policy
from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.place import CLUSTER_PREFIX, place
from virtwatch_api.policy import Policy, PolicyKey, PolicyKind
from virtwatch_api.policy_codec import parse_policy, read_notify, read_rules_of
from virtwatch_api.problem import Problem
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Invalid, NotFound
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.conditions import Finding
from virtwatch_operator.policies import InForce, PolicyBook, PolicyFacts, policy_path
from virtwatch_operator.reconcile import verdict
from virtwatch_operator.reconcile.namespaces import Namespaces
from virtwatch_operator.reconcile.thresholds import (
    MANAGER,
    Stored,
    read_stored,
    thresholdset_body,
    thresholdset_path,
)
from virtwatch_telemetry.traceparent import inject

_SELECTS = 253  # characters

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Subject:
    """Hold one policy as it was read, and its ThresholdSet, None where it has none of its own."""

    key: PolicyKey
    document: Json
    place: tuple[str, str]
    stored: Stored | None

    @property
    def uid(self) -> str:
        return str(self.document["metadata"]["uid"])

    @property
    def generation(self) -> int:
        return int(self.document["metadata"]["generation"])

    @property
    def in_force(self) -> InForce | None:
        """Return what agents judge by now; an edit without a new meaning counts as in force too."""
        if self.stored is None or (self.stored.policy, self.stored.policy_uid) != (self.key, self.uid):
            return None
        effective = (self.document.get("status") or {}).get("effectiveGeneration", 0)
        return replace(self.stored.in_force, generation=max(self.stored.in_force.generation, effective))


class PolicyReconciler:
    """Reconcile one policy at a time; `decided` is called once a policy's facts are in the book, or out of it."""

    def __init__(
        self,
        *,
        client: KubeClient,
        operator_namespace: str,
        namespaces: Namespaces,
        book: PolicyBook,
        tracer: Tracer,
        decided: Callable[[PolicyKey], None],
    ) -> None:
        self._client = client
        self._operator_namespace = operator_namespace
        self._namespaces = namespaces
        self._book = book
        self._tracer = tracer
        self._decided = decided

    def reconcile(self, key: PolicyKey) -> None:
        """Bring a policy's ThresholdSet in line with it.

        Raises:
            KubeError: the API server did not do its part; nothing is decided, the last decision stands.
        """
        begun = time.time_ns()
        subject = self._read(key)
        if subject is None:
            self._book.forget(key)
            self._namespaces.forget(key)
        else:
            self._book.put(self._decide(subject, begun))
        self._decided(key)

    def _read(self, key: PolicyKey) -> _Subject | None:
        try:
            document = self._client.get(policy_path(key))
        except NotFound:
            return None
        if document["metadata"].get("deletionTimestamp"):
            # Its ThresholdSet is the garbage collector's now.
            return None
        where = place(key, operator_namespace=self._operator_namespace)
        try:
            stored = read_stored(self._client.get(thresholdset_path(where)))
        except NotFound:
            stored = None
        return _Subject(key, document, where, stored)

    def _decide(self, subject: _Subject, begun: int) -> PolicyFacts:
        key = subject.key
        if key.kind is PolicyKind.MONITOR_POLICY and subject.place == _reserved(key, self._operator_namespace):
            return self._facts(subject, verdict.name_reserved(key, generation=subject.generation), None)
        parsed = parse_policy(subject.document)
        if not isinstance(parsed, Policy):
            return self._refuse(subject, parsed)
        selective = parsed.spec.target.namespace_selector is not None
        compiled = compile_policy(
            parsed, namespace_labels=self._namespaces.labels_for(subject.key) if selective else None
        )
        if not isinstance(compiled, ThresholdSet):
            return self._refuse(subject, compiled)
        in_force = InForce(compiled.hash, subject.generation, compiled.enforcement)
        try:
            version = self._settle(subject, compiled, begun)
        except Invalid as error:
            stays = subject.in_force.generation if subject.in_force else None
            refusal = verdict.rejected_by_server(str(error), generation=subject.generation, in_force=stays)
            return self._facts(subject, refusal, subject.in_force)
        return self._facts(subject, verdict.accepted(subject.generation), in_force, version)

    def _settle(self, subject: _Subject, compiled: ThresholdSet, begun: int) -> str:
        """Write the ThresholdSet where the one that stands is not whole the same; return its resourceVersion."""
        stored = subject.stored
        created = subject.document["metadata"]["creationTimestamp"]
        if stored is not None:
            if stored.is_as(thresholdset_body(compiled, place=subject.place, created=created)):
                return stored.version
            if stored.policy != subject.key or (subject.in_force and subject.in_force.hash == compiled.hash):
                logger.warning(
                    "ThresholdSet %s/%s was not as the operator wrote it (last written by %s): it is restored",
                    *subject.place,
                    stored.writer or "somebody unknown",
                )
        return self._write(subject, compiled, begun)

    def _refuse(self, subject: _Subject, problems: tuple[Problem, ...]) -> PolicyFacts:
        stays = subject.in_force
        finding = verdict.refused(problems, generation=subject.generation, in_force=stays.generation if stays else None)
        return self._facts(subject, finding, stays)

    def _write(self, subject: _Subject, compiled: ThresholdSet, begun: int) -> str:
        """Write the ThresholdSet whole; the span that covers it is the root of all that follows from this edit."""
        attributes = {
            "virtwatch.policy.kind": subject.key.kind.value,
            "virtwatch.policy": str(subject.key),
            "virtwatch.policy.generation": subject.generation,
            "virtwatch.thresholds.hash": compiled.hash,
        }
        with self._tracer.start_as_current_span(
            f"reconcile {subject.key.kind}", start_time=begun, attributes=attributes
        ) as span:
            traced = replace(compiled, traceparent=inject(span))
            created = subject.document["metadata"]["creationTimestamp"]
            body = thresholdset_body(traced, place=subject.place, created=created)
            if subject.stored is None:
                path = virtwatch("thresholdsets", namespace=subject.place[0])
                written = self._client.create(path, body, manager=MANAGER)
            else:
                # Whole, not applied: what somebody else added must go too.
                body["metadata"]["resourceVersion"] = subject.stored.version
                written = self._client.replace(thresholdset_path(subject.place), body, manager=MANAGER)
        return str(written["metadata"]["resourceVersion"])

    @staticmethod
    def _facts(
        subject: _Subject, accepted: Finding, in_force: InForce | None, version: str | None = None
    ) -> PolicyFacts:
        return PolicyFacts(
            key=subject.key,
            uid=subject.uid,
            generation=subject.generation,
            accepted=accepted,
            in_force=in_force,
            version=version if version is not None else subject.stored.version if subject.stored else "",
            status=subject.document.get("status") or {},
            notify=read_notify(subject.document),
            rules=read_rules_of(subject.document),
            read_at=str(subject.document["metadata"]["resourceVersion"]),
            node_keys=_node_keys(subject.document) | _node_keys(subject.stored.document if subject.stored else {}),
            **_scope(subject.document),
        )


def _scope(document: Json) -> dict[str, Any]:
    """Say what a policy watches and how often, as far as its newest spec is valid."""
    policy = parse_policy(document)
    if not isinstance(policy, Policy):
        return {}
    target = policy.spec.target
    words = [f"names {', '.join(target.names)}"] if target.names else []
    for what, selector in (
        ("labels", target.selector),
        ("namespaces of labels", target.namespace_selector),
        ("nodes of labels", target.node_selector),
    ):
        if selector is not None and selector.requirements:
            words.append(f"{what} {', '.join(map(str, selector.requirements))}")
    return {"kind": target.kind, "selects": " and ".join(words)[:_SELECTS], "interval": policy.spec.collection.interval}


def _reserved(key: PolicyKey, operator_namespace: str) -> tuple[str, str] | None:
    """Return a policy's place where that is one of the ClusterMonitorPolicies'."""
    return (operator_namespace, key.name) if key.name.startswith(CLUSTER_PREFIX) else None


def _node_keys(document: Json) -> frozenset[str]:
    """Return the keys by which a policy or its ThresholdSet selects nodes, valid or not."""
    selector = ((document.get("spec") or {}).get("target") or {}).get("nodeSelector") or {}
    expressions = selector.get("matchExpressions") or ()
    return frozenset((*(selector.get("matchLabels") or {}), *(item["key"] for item in expressions if "key" in item)))
