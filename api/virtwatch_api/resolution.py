"""Which rule applies to a VM, from which policy, and why: used by agents to judge and by people to ask."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from virtwatch_api.catalogue.signals import TargetKind
from virtwatch_api.policy import Enforcement, PolicyKind, Rule
from virtwatch_api.rule_kinds.registry import kind_of
from virtwatch_api.thresholdset import ThresholdSet

ANNOTATION_PREFIX = "virtwatch.io/rule."
_MAX_ANNOTATION = 100  # characters; both levels take half of it. What is longer would be repeated in logs.


@dataclass(frozen=True, slots=True)
class MachineIdentity:
    """Hold what policies select a VM by; a plain libvirt domain has no namespace, labels or annotations."""

    name: str
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """Hold the rule in force for a VM, the policy that it comes from, and why, in a sentence."""

    rule: Rule
    thresholds: ThresholdSet
    why: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """Hold the rules in force for a VM by name, and sentences about annotations that could not be followed."""

    rules: Mapping[str, EffectiveRule]
    problems: tuple[str, ...] = ()


def selects(
    thresholds: ThresholdSet, machine: MachineIdentity, *, node_labels: Mapping[str, str] | None = None
) -> bool:
    """Tell whether a policy selects a VM: scope, then node, then labels, then name.

    A VM without a namespace (plain libvirt) is selected by cluster policies alone, which see it without labels.
    """
    target = thresholds.target
    if target.kind is not TargetKind.VIRTUAL_MACHINE or thresholds.enforcement is Enforcement.SUSPENDED:
        return False
    if thresholds.namespaces is not None and machine.namespace not in thresholds.namespaces:
        return False
    if target.node_selector is not None and not target.node_selector.matches(dict(node_labels or {})):
        return False
    if target.selector is not None and not target.selector.matches(dict(machine.labels)):
        return False
    return not target.names or any(fnmatch.fnmatchcase(machine.name, glob) for glob in target.names)


def resolve_rules(
    machine: MachineIdentity,
    all_thresholds: Iterable[ThresholdSet],
    *,
    node_labels: Mapping[str, str] | None = None,
) -> Resolution:
    """Choose, per rule name, the most specific policy that selects the VM, then follow the VM's annotations.

    MonitorPolicy with a selector > without > ClusterMonitorPolicy with a selector > without; ties by age, then name.
    A ClusterMonitorPolicy that is not overridable stands above all of them and above annotations.
    """
    chosen: dict[str, EffectiveRule] = {}
    selected = [item for item in all_thresholds if selects(item, machine, node_labels=node_labels)]
    for thresholds in sorted(selected, key=_precedence):
        for rule in thresholds.rules:
            if rule.name not in chosen:
                chosen[rule.name] = EffectiveRule(rule, thresholds, _why(thresholds))
    return _follow_annotations(machine, chosen)


def _precedence(thresholds: ThresholdSet) -> tuple[int, int, int, float, str, str]:
    return (
        0 if not thresholds.overridable else 1,
        0 if thresholds.policy.kind is PolicyKind.MONITOR_POLICY else 1,
        0 if _selective(thresholds) else 1,
        thresholds.created,
        thresholds.policy.name,
        thresholds.policy.namespace or "",
    )


def _selective(thresholds: ThresholdSet) -> bool:
    """Tell whether a policy narrows its scope in any way; a MonitorPolicy's own namespace is its scope."""
    target = thresholds.target
    narrowed = thresholds.policy.kind is PolicyKind.CLUSTER_MONITOR_POLICY and thresholds.namespaces is not None
    return narrowed or bool(target.names) or target.selector is not None or target.node_selector is not None


def _why(thresholds: ThresholdSet) -> str:
    policy = thresholds.policy
    how = "which selects this VM" if _selective(thresholds) else "which applies to every VM in its scope"
    fixed = " and may not be overridden" if not thresholds.overridable else ""
    return f"{policy.kind} {policy}, {how}{fixed}"


def _follow_annotations(machine: MachineIdentity, chosen: dict[str, EffectiveRule]) -> Resolution:
    problems = []
    for key, text in sorted(machine.annotations.items()):
        name = key.removeprefix(ANNOTATION_PREFIX)
        if not key.startswith(ANNOTATION_PREFIX):
            continue
        effective = chosen.get(name)
        if effective is None:
            problems.append(f"annotation {key} names no rule that applies to this VM")
        elif not effective.thresholds.overridable:
            problems.append(f"annotation {key} is ignored: {effective.thresholds.policy} may not be overridden")
        elif text.strip() == "off":
            del chosen[name]
        else:
            replaced = _with_levels(effective.rule, text)
            if isinstance(replaced, str):
                problems.append(f"annotation {key} is ignored: {replaced}")
            else:
                why = f"{effective.why}; annotation {key} sets {text}"
                chosen[name] = replace(effective, rule=replaced, why=why)
    return Resolution(chosen, tuple(problems))


def _with_levels(rule: Rule, text: str) -> Rule | str:
    if len(text) > _MAX_ANNOTATION:
        return f"it has {len(text)} characters, at most {_MAX_ANNOTATION} make sense"
    levels = {}
    for part in text.split(","):
        name, _, bound = part.strip().partition("=")
        levels[name] = bound.strip()
    body = kind_of(rule.body).override(rule.body, levels)
    return body if isinstance(body, str) else replace(rule, body=body)
