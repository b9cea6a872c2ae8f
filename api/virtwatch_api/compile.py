"""From a policy to the ThresholdSet that agents judge by."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from virtwatch_api.policy import Policy, PolicyKind
from virtwatch_api.problem import Problem
from virtwatch_api.support import unsupported
from virtwatch_api.thresholdset import ThresholdSet, meaning

_HASH_LENGTH = 16


def compile_policy(
    policy: Policy, *, namespace_labels: Mapping[str, Mapping[str, str]] | None = None, traceparent: str = ""
) -> ThresholdSet | tuple[Problem, ...]:
    """Turn a valid policy into the ThresholdSet that agents judge by.

    `namespace_labels` is what a namespace selector is resolved against. What this version cannot judge comes back as
    problems with reason NotImplemented, one for each, so that nothing is silently ignored.
    """
    spec = policy.spec
    missing = unsupported(target=spec.target, collection=spec.collection, rules=spec.rules)
    if found := tuple(missing):
        return found
    namespaces: tuple[str, ...] | None = None
    if policy.key.kind is PolicyKind.MONITOR_POLICY:
        assert policy.key.namespace is not None
        namespaces = (policy.key.namespace,)
    elif spec.target.namespace_selector is not None:
        selector = spec.target.namespace_selector
        known = namespace_labels or {}
        namespaces = tuple(sorted(name for name, labels in known.items() if selector.matches(dict(labels))))
    compiled = ThresholdSet(
        policy=policy.key,
        policy_uid=policy.uid,
        generation=policy.generation,
        created=policy.created,
        hash="",
        enforcement=spec.enforcement,
        overridable=spec.overridable,
        target=replace(spec.target, namespace_selector=None),
        namespaces=namespaces,
        collection=spec.collection,
        rules=spec.rules,
        traceparent=traceparent,
    )
    return replace(compiled, hash=_hash(compiled))


def _hash(thresholds: ThresholdSet) -> str:
    # Whose meaning it is counts too: a node that still judges by a policy that was deleted has not applied the one
    # that was made again with the same words, and its Distributed must not say so.
    covered = {"uid": thresholds.policy_uid, **meaning(thresholds)}
    canonical = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_HASH_LENGTH]
