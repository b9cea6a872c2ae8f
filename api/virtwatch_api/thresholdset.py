"""What an agent judges by: one per policy, spec only, all defaults filled in, written when the meaning changes."""

from dataclasses import dataclass
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import Collection, Enforcement, PolicyKey, PolicyKind, Rule, Target
from virtwatch_api.policy_codec import read_generation, read_time
from virtwatch_api.problem import Problem
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.kind import Scope
from virtwatch_api.rule_kinds.registry import encode_rule, read_rules
from virtwatch_api.target_codec import encode_collection, encode_target, read_collection, read_target
from virtwatch_api.version import API_VERSION, readable

MAX_NAMESPACES = 1024


@dataclass(frozen=True, slots=True)
class ThresholdSet:
    """Hold a compiled policy.

    `namespaces` is what a namespace selector chose, None for any; a MonitorPolicy's own namespace is its key's.
    `hash` covers the meaning and whose it is (uid), not generation or traceparent; `created` (seconds since 1970) is
    the policy's.
    """

    policy: PolicyKey
    policy_uid: str
    generation: int
    created: float
    hash: str
    enforcement: Enforcement
    overridable: bool
    target: Target
    namespaces: tuple[str, ...] | None
    collection: Collection
    rules: tuple[Rule, ...]
    traceparent: str = ""


def encode_spec(thresholds: ThresholdSet, *, created: str) -> dict[str, Any]:
    """Write a ThresholdSet's spec; `created` is the policy's creationTimestamp as Kubernetes spells it."""
    policy = thresholds.policy
    spec: dict[str, Any] = {
        "policy": {
            "kind": policy.kind.value,
            **({"namespace": policy.namespace} if policy.namespace else {}),
            "name": policy.name,
            "uid": thresholds.policy_uid,
            "generation": thresholds.generation,
            **({"created": created} if created else {}),
        },
        "hash": thresholds.hash,
        **meaning(thresholds),
    }
    if thresholds.traceparent:
        spec["traceparent"] = thresholds.traceparent
    return spec


def meaning(thresholds: ThresholdSet) -> dict[str, Any]:
    """Write everything that changes a judgement."""
    encoded: dict[str, Any] = {
        "enforcement": thresholds.enforcement.value,
        "overridable": thresholds.overridable,
        "target": encode_target(thresholds.target),
        "collection": encode_collection(thresholds.collection),
        "rules": [encode_rule(rule) for rule in thresholds.rules],
    }
    if thresholds.namespaces is not None:
        encoded["namespaces"] = list(thresholds.namespaces)
    return encoded


def parse_thresholdset(document: Any) -> ThresholdSet | tuple[Problem, ...]:
    """Read a ThresholdSet object; an unreadable one comes back as problems and is reported, never half applied."""
    problems: list[Problem] = []
    root = Cursor(document, "", problems)
    if not readable(root["apiVersion"].value):
        root["apiVersion"].problem(f"must be {API_VERSION}")
    thresholds = _spec(root["spec"])
    return tuple(problems) if problems or thresholds is None else thresholds


def _spec(spec: Cursor) -> ThresholdSet | None:
    known = (
        "policy",
        "hash",
        "traceparent",
        "enforcement",
        "overridable",
        "target",
        "namespaces",
        "collection",
        "rules",
    )
    if not spec.mapping(*known):
        return None
    policy = spec["policy"]
    kind = policy["kind"].choice(PolicyKind)
    target = read_target(spec["target"], cluster=True)
    if kind is PolicyKind.MONITOR_POLICY and target.kind is not TargetKind.VIRTUAL_MACHINE:
        spec["target"].problem("a MonitorPolicy watches VirtualMachines")
    namespaces = spec["namespaces"]
    return ThresholdSet(
        policy=PolicyKey(kind, policy["name"].text(), _optional(policy, "namespace") or None),
        policy_uid=_optional(policy, "uid"),
        generation=read_generation(policy["generation"]),
        created=read_time(policy["created"]),
        hash=spec["hash"].text(),
        enforcement=spec["enforcement"].choice(Enforcement),
        overridable=spec["overridable"].boolean(default=True),
        target=target,
        namespaces=None
        if namespaces.value is None
        else tuple(item.text() for item in namespaces.items(at_most=MAX_NAMESPACES)),
        collection=read_collection(spec["collection"]),
        rules=read_rules(spec["rules"], Scope(target.kind, compiled=True)),
        traceparent=_optional(spec, "traceparent"),
    )


def _optional(cursor: Cursor, name: str) -> str:
    return cursor[name].text() if cursor.has(name) else ""
