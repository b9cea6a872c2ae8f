"""The node as a target: it is there as long as its agent is, and patterns over its VMs are about it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain

from virtwatch_agent.judge.records import AlertRecord
from virtwatch_agent.judge.target import Target
from virtwatch_agent.judge.verdict import Verdict
from virtwatch_agent.observations import TargetEvent
from virtwatch_api.alert import AlertKey
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import CountBy, PolicyKey
from virtwatch_api.resolution import EffectiveRule, effective_rules, selects_node
from virtwatch_api.targets import Subject, TargetIdentity, node_ref
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.alerts import Document
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.pattern.groups import GroupRules, GroupVerdict, RuleKey, is_group, joins


class Node(Target):
    """Judge the node."""

    def __init__(self, name: str, budget: WindowBudget) -> None:
        super().__init__(node_ref(name), budget)
        self._subject = Subject(label=name, target=self.ref, node=name)
        self._groups = GroupRules()
        self._joining: dict[PolicyKey, Mapping[RuleKey, EffectiveRule]] = {}
        self.labels: Mapping[str, str] = {}
        self.annotations: Mapping[str, str] = {}

    @property
    def subject(self) -> Subject:
        """Return how alerts name the node."""
        return self._subject

    @property
    def selector_identity(self) -> TargetIdentity:
        """Return what policies select by."""
        return TargetIdentity(self._subject.label, None, self.labels, self.annotations, TargetKind.NODE)

    def appear(self, *, at: float) -> None:
        """Note that the node is there from now on, seconds since 1970."""
        for _ in self.evaluator.appear(at=at):
            pass  # nothing is judged yet

    def join(
        self, changed: Iterable[ThresholdSet], policies: Collection[PolicyKey], *, now: float
    ) -> Iterator[Verdict]:
        """Put in force what new or changed policies say of the node's VMs together; `policies` are those that exist."""
        for policy in self._joining.keys() - set(policies):
            del self._joining[policy]
        for thresholds in changed:
            rules = _joining(thresholds, self.labels)
            if rules or thresholds.policy in self._joining:
                self._joining[thresholds.policy] = rules
        rules = {key: effective for found in self._joining.values() for key, effective in found.items()}
        yield from self._of_groups(self._groups.apply(rules, policies, at=now))

    def count(self, event: TargetEvent, rules: Iterable[EffectiveRule], *, member: str) -> Iterator[Verdict]:
        """Judge an event of a VM by those of its rules that join all VMs of the node."""
        for effective in rules:
            if joins(effective) is CountBy.NODE:
                said = self._groups.event(event, effective, group=self.ref.id, member=member)
                yield from (replace(verdict, cause=event) for verdict in self._of_groups(said))

    @property
    def awake(self) -> bool:
        """Return that an alert may have changed: what VMs do together has alerts of its own."""
        return True

    @property
    def tick_at(self) -> float:
        """Return before when `tick` has nothing to do, for the node itself and for what its VMs do together."""
        return min(super().tick_at, self._groups.tick_at)

    def tick(self, *, now: float) -> Iterable[Verdict]:
        """Let time pass."""
        return chain(super().tick(now=now), self._of_groups(self._groups.tick(at=now)))

    def restore(self, record: AlertRecord) -> None:
        """Take back an alert from before a restart."""
        if is_group(record.saved):
            self._groups.restore(record.name, record.saved)
        else:
            super().restore(record)

    def records(self, *, fresh: bool = False) -> Iterator[AlertRecord]:
        """Yield what must survive a restart."""
        yield from super().records(fresh=fresh)
        for _, record in self._groups.records():
            name, saved = record.name, record.saved
            key = AlertKey(name.policy, name.rule, self.ref)
            subject = self._subject_for(name.policy)
            yield AlertRecord(key, saved.state, subject, saved.evidence, saved.traceparent, saved.memory)

    def clock_set(self, seconds: float) -> None:
        """Let all timers continue though the clock was set."""
        super().clock_set(seconds)
        self._groups.clock_set(seconds)

    def learned(self, *, within: float) -> Iterator[tuple[PolicyKey, str, Document]]:
        """Yield what rules have learned, and the events of VMs that patterns still need."""
        yield from super().learned(within=within)
        yield from self._groups.learned()

    def teach(self, policy: PolicyKey, rule: str, document: Document) -> None:
        """Take back what was learned before a restart."""
        if "groups" in document:
            self._groups.teach(policy, rule, document)
        else:
            super().teach(policy, rule, document)

    def _of_groups(self, said: Iterable[GroupVerdict]) -> Iterator[Verdict]:
        for item in said:
            verdict = item.verdict
            yield Verdict(
                AlertKey(verdict.name.policy, verdict.name.rule, self.ref),
                verdict.change,
                verdict.evidence,
                enforced=verdict.enforced,
                effective=verdict.effective,
                alert=verdict.alert,
                subject=self._subject_for(verdict.name.policy),
            )

    def _subject_for(self, policy: PolicyKey) -> Subject:
        """Name the node in an alert; that of a MonitorPolicy is about its namespace's VMs there."""
        return self._subject if policy.namespace is None else replace(self._subject, namespace=policy.namespace)


def _joining(thresholds: ThresholdSet, labels: Mapping[str, str]) -> Mapping[RuleKey, EffectiveRule]:
    if thresholds.target.kind is not TargetKind.VIRTUAL_MACHINE or not selects_node(thresholds, labels):
        return {}
    rules = effective_rules(thresholds).values()
    return {(thresholds.policy, item.rule.name): item for item in rules if joins(item) is CountBy.NODE}
