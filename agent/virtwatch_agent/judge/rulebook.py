"""Which rule applies to each target that was asked for, kept up as policies change: an edit costs what it touches."""

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from virtwatch_api.policy import PolicyKey
from virtwatch_api.resolution import EffectiveRule, Resolution, effective_rules, follow_annotations, precedence, selects
from virtwatch_api.targets import TargetIdentity, TargetRef
from virtwatch_api.thresholdset import ThresholdSet


@dataclass(slots=True)
class _Entry:
    identity: TargetIdentity
    selected: list[ThresholdSet]  # the most specific first
    chosen: dict[str, EffectiveRule]  # before annotations
    resolution: Resolution


class Rulebook:
    """Know the thresholds in force and resolve them for targets."""

    def __init__(self) -> None:
        self.thresholds: Sequence[ThresholdSet] = ()
        self.node_labels: Mapping[str, str] = {}
        self._by_policy: dict[PolicyKey, ThresholdSet] = {}
        self._rules: dict[PolicyKey, Mapping[str, EffectiveRule]] = {}
        self._entries: dict[TargetRef, _Entry] = {}

    def change(self, thresholds: Sequence[ThresholdSet]) -> list[ThresholdSet]:
        """Take all thresholds in force; return those that are new or changed."""
        before = self._by_policy
        self.thresholds = thresholds
        self._by_policy = {item.policy: item for item in thresholds}
        changed = [item for item in thresholds if _differ(before.get(item.policy), item)]
        gone = [item for policy, item in before.items() if policy not in self._by_policy]
        left = [*gone, *(before[item.policy] for item in changed if item.policy in before)]
        for item in left:
            self._rules.pop(item.policy, None)
        for entry in self._entries.values():
            self._follow(entry, left, changed)
        return changed

    def relabel(self, node_labels: Mapping[str, str]) -> None:
        """Take the node's labels."""
        self.node_labels = node_labels
        self._entries.clear()

    def resolve(self, target: TargetRef, identity: TargetIdentity) -> Resolution:
        """Return the rules in force for a target; the same object as long as nothing changed for it."""
        entry = self._entries.get(target)
        if entry is None or entry.identity != identity:
            selected = [item for item in self.thresholds if self._selects(item, identity)]
            selected.sort(key=precedence)
            chosen: dict[str, EffectiveRule] = {}
            for item in selected:
                for name, effective in self._rules_of(item).items():
                    chosen.setdefault(name, effective)
            entry = self._entries[target] = _Entry(identity, selected, chosen, follow_annotations(identity, chosen))
        return entry.resolution

    def forget(self, target: TargetRef) -> None:
        """Drop a target."""
        self._entries.pop(target, None)

    def _follow(self, entry: _Entry, left: Iterable[ThresholdSet], came: Iterable[ThresholdSet]) -> None:
        names: set[str] = set()
        for item in left:
            at = next((index for index, other in enumerate(entry.selected) if other.policy == item.policy), None)
            if at is not None:
                del entry.selected[at]
                names.update(rule.name for rule in item.rules)
        for item in came:
            if self._selects(item, entry.identity):
                bisect.insort(entry.selected, item, key=precedence)
                names.update(rule.name for rule in item.rules)
        if not names:
            return
        chosen = dict(entry.chosen)
        for name in names:
            found = (self._rules_of(item).get(name) for item in entry.selected)
            effective = next((item for item in found if item is not None), None)
            if effective is None:
                chosen.pop(name, None)
            else:
                chosen[name] = effective
        entry.chosen = chosen
        entry.resolution = follow_annotations(entry.identity, chosen)

    def _selects(self, thresholds: ThresholdSet, identity: TargetIdentity) -> bool:
        return selects(thresholds, identity, node_labels=self.node_labels)

    def _rules_of(self, thresholds: ThresholdSet) -> Mapping[str, EffectiveRule]:
        """Return a policy's rules by name: one object each, for all targets."""
        rules = self._rules.get(thresholds.policy)
        if rules is None:
            rules = self._rules[thresholds.policy] = effective_rules(thresholds)
        return rules


def _differ(before: ThresholdSet | None, now: ThresholdSet) -> bool:
    return before is not now and before != now
