"""Which rule applies to a target, from which policy, and why: used by agents to judge and by people to ask."""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import Enforcement, PolicyKey, PolicyKind, Rule
from virtwatch_api.rule_kinds.registry import kind_of
from virtwatch_api.targets import TARGET_KINDS, TargetIdentity
from virtwatch_api.thresholdset import ThresholdSet

ANNOTATION_PREFIX = "virtwatch.io/rule."
_MAX_ANNOTATION = 100  # characters; both levels take half of it. What is longer would be repeated in logs.


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """Hold the rule in force for a target, the policy that it comes from, and why, in a sentence."""

    rule: Rule
    thresholds: ThresholdSet
    why: str
    key: tuple[PolicyKey, str] = field(init=False, repr=False, compare=False)  # policy and name: whose rule it is

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.thresholds.policy, self.rule.name))


@dataclass(frozen=True, slots=True)
class Resolution:
    """Hold the rules in force for a target by name, and sentences about annotations that could not be followed.

    Where it follows on another one, `changed` names the rules that may differ from `before`: all others are the same.
    """

    rules: Mapping[str, EffectiveRule]
    problems: tuple[str, ...] = ()
    before: Mapping[str, EffectiveRule] | None = field(default=None, repr=False, compare=False)
    changed: frozenset[str] = field(default=frozenset(), repr=False, compare=False)


def selects(thresholds: ThresholdSet, target: TargetIdentity, *, node_labels: Mapping[str, str] | None = None) -> bool:
    """Return whether a policy selects a target: kind, scope, then node, then labels, then name.

    What has no namespace (a node, a VM of plain libvirt) is selected by cluster policies alone.
    """
    wanted = thresholds.target
    if wanted.kind is not target.kind or thresholds.enforcement is Enforcement.SUSPENDED:
        return False
    if thresholds.namespaces is not None and target.namespace not in thresholds.namespaces:
        return False
    if not selects_node(thresholds, node_labels or {}):
        return False
    if wanted.selector is not None and not wanted.selector.matches(dict(target.labels)):
        return False
    return not wanted.names or any(fnmatch.fnmatchcase(target.name, glob) for glob in wanted.names)


def selects_node(thresholds: ThresholdSet, labels: Mapping[str, str]) -> bool:
    """Return whether a policy that judges at all selects targets on a node with these labels."""
    wanted = thresholds.target.node_selector
    return thresholds.enforcement is not Enforcement.SUSPENDED and (wanted is None or wanted.matches(dict(labels)))


def resolve_rules(
    target: TargetIdentity,
    all_thresholds: Iterable[ThresholdSet],
    *,
    node_labels: Mapping[str, str] | None = None,
) -> Resolution:
    """Choose, per rule name, the most specific policy that selects the target, then follow the target's annotations.

    MonitorPolicy with a selector > without > ClusterMonitorPolicy with a selector > without; ties by age, then name.
    A ClusterMonitorPolicy that is not overridable stands above all of them and above annotations.
    """
    return rank_rules(target, all_thresholds, node_labels=node_labels).resolution


@dataclass(frozen=True, slots=True)
class Ranked:
    """Hold the rules in force, and of each name all rules that apply by their policies, most specific first."""

    resolution: Resolution
    candidates: Mapping[str, tuple[EffectiveRule, ...]]

    @staticmethod
    def why_lost(winner: EffectiveRule, other: EffectiveRule) -> str:
        """Say why the rule of one policy stands above that of another, in a sentence."""
        pairs = zip(precedence(winner.thresholds), precedence(other.thresholds), _REASONS, strict=True)
        reason = next(reason for first, second, reason in pairs if first != second)
        return f"{winner.thresholds.policy.kind} {winner.thresholds.policy} {reason}"


def rank_rules(
    target: TargetIdentity,
    all_thresholds: Iterable[ThresholdSet],
    *,
    node_labels: Mapping[str, str] | None = None,
) -> Ranked:
    """Choose as `resolve_rules` does, and keep what was not chosen, to explain it."""
    candidates: dict[str, tuple[EffectiveRule, ...]] = {}
    selected = [item for item in all_thresholds if selects(item, target, node_labels=node_labels)]
    for thresholds in sorted(selected, key=precedence):
        for name, effective in effective_rules(thresholds).items():
            candidates[name] = (*candidates.get(name, ()), effective)
    return Ranked(follow_annotations(target, {name: rules[0] for name, rules in candidates.items()}), candidates)


def never_judged(all_thresholds: Iterable[ThresholdSet]) -> Iterator[tuple[EffectiveRule, EffectiveRule]]:
    """Yield each rule that judges no target of one scope, after the rule of another policy that replaces it there.

    All policies have the same scope: one namespace's, the cluster's, or a host's, where there are no namespaces.
    """
    everywhere: dict[tuple[TargetKind, str], EffectiveRule] = {}
    judging = [item for item in all_thresholds if item.enforcement is not Enforcement.SUSPENDED]
    for thresholds in sorted(judging, key=precedence):
        for name, effective in effective_rules(thresholds).items():
            place = thresholds.target.kind, name
            if place in everywhere:
                yield everywhere[place], effective
            elif not narrowed(thresholds):
                everywhere[place] = effective


# Why each place of `precedence` decides.
_REASONS = (
    "may not be overridden",
    "is a MonitorPolicy, which replaces a ClusterMonitorPolicy's rule of the same name",
    "selects its targets, which is more specific than all in scope",
    "is older",
    "comes first by name",
    "comes first by namespace",
)


def effective_rules(thresholds: ThresholdSet) -> dict[str, EffectiveRule]:
    """Return the rules of a policy by name, as they are in force where no other policy has a say."""
    why = _why(thresholds)
    return {rule.name: EffectiveRule(rule, thresholds, why) for rule in thresholds.rules}


def precedence(thresholds: ThresholdSet) -> tuple[int, int, int, float, str, str]:
    """Return by what policies are sorted, so that the most specific comes first."""
    return (
        0 if not thresholds.overridable else 1,
        0 if thresholds.policy.kind is PolicyKind.MONITOR_POLICY else 1,
        0 if narrowed(thresholds) else 1,
        thresholds.created,
        thresholds.policy.name,
        thresholds.policy.namespace or "",
    )


def narrowed(thresholds: ThresholdSet) -> bool:
    """Return whether a policy narrows its scope in any way; a MonitorPolicy's own namespace is its scope."""
    target = thresholds.target
    by_namespaces = thresholds.policy.kind is PolicyKind.CLUSTER_MONITOR_POLICY and thresholds.namespaces is not None
    return by_namespaces or bool(target.names) or target.selector is not None or target.node_selector is not None


def _why(thresholds: ThresholdSet) -> str:
    policy, noun = thresholds.policy, TARGET_KINDS[thresholds.target.kind].noun
    how = f"which selects this {noun}" if narrowed(thresholds) else f"which applies to every {noun} in its scope"
    fixed = " and may not be overridden" if not thresholds.overridable else ""
    return f"{policy.kind} {policy}, {how}{fixed}"


def follow_annotations(target: TargetIdentity, rules: Mapping[str, EffectiveRule]) -> Resolution:
    """Change rules as the target's annotations say."""
    written = {key: text for key, text in sorted(target.annotations.items()) if key.startswith(ANNOTATION_PREFIX)}
    if not written:
        return Resolution(rules)
    chosen, problems = dict(rules), []
    for key, text in written.items():
        name = key.removeprefix(ANNOTATION_PREFIX)
        effective = chosen.get(name)
        if effective is None:
            problems.append(f"annotation {key} names no rule that applies to this {TARGET_KINDS[target.kind].noun}")
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
