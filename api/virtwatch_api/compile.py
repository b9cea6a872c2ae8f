import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from virtwatch_api.catalogue.events import EVENT
from virtwatch_api.catalogue.signals import SIGNAL, TargetKind
from virtwatch_api.policy import (
    AnomalyRule,
    ConditionRule,
    EventRule,
    Mode,
    PatternRule,
    Policy,
    PolicyKind,
    Rule,
    ThresholdRule,
)
from virtwatch_api.problem import Problem, ProblemReason
from virtwatch_api.thresholdset import ThresholdSet, meaning

_HASH_LENGTH = 16


def compile_policy(
    policy: Policy, *, namespace_labels: Mapping[str, Mapping[str, str]] | None = None, traceparent: str = ""
) -> ThresholdSet | tuple[Problem, ...]:
    """Turn a valid policy into the ThresholdSet that agents judge by.

    `namespace_labels` is what a namespace selector is resolved against. Parts whose engine is not there yet come back
    as problems with reason NotImplemented, one for each, so that nothing is silently ignored.
    """
    if missing := tuple(_not_implemented(policy)):
        return missing
    spec = policy.spec
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
    # that was made anew with the same words, and its Distributed must not say so.
    covered = {"uid": thresholds.policy_uid, **meaning(thresholds)}
    canonical = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_HASH_LENGTH]


def _not_implemented(policy: Policy) -> Iterable[Problem]:
    spec = policy.spec
    if spec.target.kind is not TargetKind.VIRTUAL_MACHINE:
        yield _missing("spec.target.kind", f"watching a {spec.target.kind}")
    if spec.collection.mode is Mode.SAMPLED:
        yield _missing("spec.collection.mode", "looking at random instants (Sampled)")
    if spec.collection.share < 1:
        yield _missing("spec.collection.share", "looking at a share of the VMs")
    for index, rule in enumerate(spec.rules):
        yield from _rule_not_implemented(f"spec.rules[{index}]", rule)


def _rule_not_implemented(path: str, rule: Rule) -> Iterable[Problem]:
    match rule.body:
        case ThresholdRule(signal=name) if SIGNAL[name].formula is None:
            yield _missing(f"{path}.threshold.signal", f'rule "{rule.name}": collecting {name}')
        case EventRule(event=event, resolve_on=resolve_on):
            for name in (event.type, *resolve_on):
                if not EVENT[name].implemented:
                    yield _missing(f"{path}.event", f'rule "{rule.name}": the event {name}')
        case ConditionRule():
            yield _missing(f"{path}.condition", f'rule "{rule.name}": judging a condition')
        case PatternRule():
            yield _missing(f"{path}.pattern", f'rule "{rule.name}": judging a pattern')
        case AnomalyRule():
            yield _missing(f"{path}.anomaly", f'rule "{rule.name}": judging an anomaly')
        case _:
            return


def _missing(path: str, what: str) -> Problem:
    return Problem(path, f"{what} is not implemented in this version; remove it", ProblemReason.NOT_IMPLEMENTED)
