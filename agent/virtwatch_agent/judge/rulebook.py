"""Which rule applies to each target that was asked for, kept up as policies change: an edit costs what it touches."""

import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from virtwatch_api.nodemonitor import Replaced
from virtwatch_api.policy import PolicyKey
from virtwatch_api.resolution import (
    ANNOTATION_PREFIX,
    EffectiveRule,
    Resolution,
    effective_rules,
    follow_annotations,
    precedence,
    selects,
)
from virtwatch_api.targets import TargetIdentity, TargetRef
from virtwatch_api.thresholdset import ThresholdSet

_Rules = Mapping[str, EffectiveRule]


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """Hold what all targets share that the same policies select: who these are, and the rules chosen of them."""

    selected: Mapping[PolicyKey, ThresholdSet]
    resolution: Resolution  # before annotations


@dataclass(slots=True)
class _Entry:
    identity: TargetIdentity
    choice: _Choice
    resolution: Resolution


class Rulebook:
    """Know the thresholds in force and resolve them for targets."""

    def __init__(self) -> None:
        self.thresholds: Sequence[ThresholdSet] = ()
        self.node_labels: Mapping[str, str] = {}
        self._by_policy: dict[PolicyKey, ThresholdSet] = {}
        self._by_rule: dict[str, list[ThresholdSet]] = {}  # by the name of a rule, the most specific first
        self._rules: dict[PolicyKey, _Rules] = {}
        self._entries: dict[TargetRef, _Entry] = {}
        self._replaced: Mapping[PolicyKey, tuple[Replaced, ...]] | None = {}  # None: to be found again

    def change(self, thresholds: Sequence[ThresholdSet]) -> list[ThresholdSet]:
        """Take all thresholds in force; return those that are new or changed."""
        before = self._by_policy
        self._replaced = None
        # What is equal stays the same object: that is how it is found again.
        thresholds = [same if (same := before.get(item.policy)) == item else item for item in thresholds]
        self.thresholds = thresholds
        self._by_policy = {item.policy: item for item in thresholds}
        changed = [item for item in thresholds if item is not before.get(item.policy)]
        gone = [item for policy, item in before.items() if policy not in self._by_policy]
        left = [*gone, *(before[item.policy] for item in changed if item.policy in before)]
        for item in left:
            self._rules.pop(item.policy, None)
            self._unlist(item)
        for item in changed:
            self._list(item)
        self._follow(left, changed)
        return changed

    def relabel(self, node_labels: Mapping[str, str]) -> None:
        """Take the node's labels."""
        self.node_labels = node_labels
        self._replaced = None
        self._entries.clear()

    def resolve(self, target: TargetRef, identity: TargetIdentity) -> Resolution:
        """Return the rules in force for a target; the same object as long as nothing changed for it."""
        entry = self._entries.get(target)
        if entry is None or entry.identity != identity:
            self._replaced = None
            choice = self._choose(identity)
            resolution = _annotated(identity, choice.resolution)
            entry = self._entries[target] = _Entry(identity, choice, resolution)
        return entry.resolution

    def forget(self, target: TargetRef) -> None:
        """Drop a target."""
        if self._entries.pop(target, None) is not None:
            self._replaced = None

    def replaced(self) -> Mapping[PolicyKey, tuple[Replaced, ...]]:
        """Say of each policy which of its rules give way to others' of that name, and for how many targets."""
        if self._replaced is None:
            targets = Counter(entry.choice for entry in self._entries.values())
            found: Counter[tuple[PolicyKey, str, PolicyKey]] = Counter()
            for choice, number in targets.items():
                for policy, thresholds in choice.selected.items():
                    for rule in thresholds.rules:
                        by = choice.resolution.rules[rule.name].thresholds.policy
                        if by != policy:
                            found[policy, rule.name, by] += number
            by_policy: dict[PolicyKey, list[Replaced]] = {}
            for (policy, name, by), number in sorted(found.items(), key=lambda item: (-item[1], item[0][1])):
                by_policy.setdefault(policy, []).append(Replaced(name, by, number))
            self._replaced = {policy: tuple(items) for policy, items in by_policy.items()}
        return self._replaced

    def _choose(self, identity: TargetIdentity) -> _Choice:
        """Choose from all policies, or take the choice of another target that the same ones select."""
        selected = [item for item in self.thresholds if self._selects(item, identity)]
        wanted = {id(item) for item in selected}
        for choice in {entry.choice for entry in self._entries.values()}:
            if len(choice.selected) == len(wanted) and {id(item) for item in choice.selected.values()} == wanted:
                return choice
        chosen: dict[str, EffectiveRule] = {}
        for item in sorted(selected, key=precedence):
            for name, effective in self._rules_of(item).items():
                chosen.setdefault(name, effective)
        return _Choice({item.policy: item for item in selected}, Resolution(chosen))

    def _follow(self, left: Sequence[ThresholdSet], came: Sequence[ThresholdSet]) -> None:
        """Keep up the targets that a change concerns; those that shared a choice, and change alike, share the next."""
        followed: dict[tuple[_Choice, frozenset[int], frozenset[int]], _Choice] = {}
        for entry in self._entries.values():
            goes = [item for item in left if item.policy in entry.choice.selected]
            comes = [item for item in came if self._selects(item, entry.identity)]
            if not goes and not comes:
                continue
            key = entry.choice, frozenset(map(id, goes)), frozenset(map(id, comes))
            if key not in followed:
                followed[key] = self._next(entry.choice, goes, comes)
            entry.choice = choice = followed[key]
            entry.resolution = _annotated(entry.identity, choice.resolution, entry.resolution.rules)

    def _next(self, choice: _Choice, goes: Sequence[ThresholdSet], comes: Sequence[ThresholdSet]) -> _Choice:
        selected = dict(choice.selected)
        for item in goes:
            del selected[item.policy]
        selected.update((item.policy, item) for item in comes)
        names = frozenset(rule.name for item in (*goes, *comes) for rule in item.rules)
        chosen = dict(choice.resolution.rules)
        for name in names:
            effective = self._most_specific(name, selected)
            if effective is None:
                chosen.pop(name, None)
            else:
                chosen[name] = effective
        return _Choice(selected, Resolution(chosen, before=choice.resolution.rules, changed=names))

    def _most_specific(self, name: str, selected: Mapping[PolicyKey, ThresholdSet]) -> EffectiveRule | None:
        """Find a rule among the policies that have one of this name, or those that are selected: the fewer."""
        listed = self._by_rule.get(name, ())
        if len(selected) < len(listed):
            listed = sorted((item for item in selected.values() if name in self._rules_of(item)), key=precedence)
        first = next((item for item in listed if selected.get(item.policy) is item), None)
        return None if first is None else self._rules_of(first)[name]

    def _list(self, thresholds: ThresholdSet) -> None:
        for rule in thresholds.rules:
            bisect.insort(self._by_rule.setdefault(rule.name, []), thresholds, key=precedence)

    def _unlist(self, thresholds: ThresholdSet) -> None:
        for rule in thresholds.rules:
            rest = [item for item in self._by_rule.pop(rule.name, ()) if item is not thresholds]
            if rest:
                self._by_rule[rule.name] = rest

    def _selects(self, thresholds: ThresholdSet, identity: TargetIdentity) -> bool:
        return selects(thresholds, identity, node_labels=self.node_labels)

    def _rules_of(self, thresholds: ThresholdSet) -> _Rules:
        """Return a policy's rules by name: one object each, for all targets."""
        rules = self._rules.get(thresholds.policy)
        if rules is None:
            rules = self._rules[thresholds.policy] = effective_rules(thresholds)
        return rules


def _annotated(identity: TargetIdentity, chosen: Resolution, before: _Rules | None = None) -> Resolution:
    """Follow a target's annotations; without any, all targets of a choice share one resolution."""
    if not any(key.startswith(ANNOTATION_PREFIX) for key in identity.annotations):
        return chosen
    return replace(follow_annotations(identity, chosen.rules), before=before, changed=chosen.changed)
