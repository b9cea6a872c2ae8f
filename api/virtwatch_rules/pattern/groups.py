"""All rules whose patterns join several targets, as one place judges them: a node's agent, the operator, a replay."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from virtwatch_api.alert import INACTIVE, Reason, resolve
from virtwatch_api.policy import CountBy, CountPattern, Enforcement, PatternRule, PolicyKey, Rule
from virtwatch_api.resolution import EffectiveRule
from virtwatch_rules.alerts import Document, Saved
from virtwatch_rules.engine import NEVER
from virtwatch_rules.event import matches
from virtwatch_rules.inputs import Event
from virtwatch_rules.pattern.group import GroupJudge, GroupSaid
from virtwatch_rules.verdict import AlertName, Record, Verdict

OVER_NODES = frozenset({CountBy.NAMESPACE, CountBy.STORAGE_POOL})  # what the operator judges, and no agent
RuleKey = tuple[PolicyKey, str]
_GROUP = "group"  # in an alert's memory: it is one of a group, whose name it holds


@dataclass(frozen=True, slots=True)
class GroupVerdict:
    """Pair what was said with the group that it was said of."""

    group: str
    verdict: Verdict


def joins(effective: EffectiveRule) -> CountBy | None:
    """Return by what a rule joins the events of several targets; None for a rule on each target alone."""
    return joined_by(effective.rule)


def joined_by(rule: Rule) -> CountBy | None:
    """Return the same of a rule as its policy says it."""
    body = rule.body
    if not isinstance(body, PatternRule) or not isinstance(body.pattern, CountPattern):
        return None
    return None if body.pattern.by is CountBy.VIRTUAL_MACHINE else body.pattern.by


def counts(effective: EffectiveRule, event: Event) -> bool:
    """Return whether a rule that joins several targets counts an event."""
    pattern = effective.rule.body.pattern if isinstance(effective.rule.body, PatternRule) else None
    return isinstance(pattern, CountPattern) and event.type == pattern.event.type and matches(pattern.event, event)


def is_group(saved: Saved) -> bool:
    """Return whether an alert is about several targets."""
    return _GROUP in saved.memory


def group_of(saved: Saved) -> str:
    """Return the group that an alert is about; empty where it is about one target."""
    return str(saved.memory.get(_GROUP, ""))


@dataclass(slots=True)
class _InForce:
    effective: EffectiveRule
    judge: GroupJudge

    def verdict(self, key: RuleKey, said: GroupSaid) -> GroupVerdict:
        name = AlertName(*key)
        _, change, evidence = said.said
        verdict = Verdict(
            name,
            change,
            evidence,
            enforced=self.effective.thresholds.enforcement is Enforcement.ENFORCE,
            effective=self.effective,
            alert=said.said.alert,
        )
        return GroupVerdict(said.group, verdict)


class GroupRules:
    """Judge the events of members by the rules that join them. What was known before waits until its rule applies."""

    def __init__(self) -> None:
        self._in_force: dict[RuleKey, _InForce] = {}
        self._waiting: dict[tuple[RuleKey, str], Saved] = {}
        self._taught: dict[RuleKey, Document] = {}

    def apply(
        self, rules: Mapping[RuleKey, EffectiveRule], policies: Collection[PolicyKey], *, at: float
    ) -> Iterator[GroupVerdict]:
        """Put rules in force; alerts whose rule is among them continue, others end. `policies` are those that exist."""
        for key, item in list(self._in_force.items()):
            effective = rules.get(key)
            if effective is not None and _same_enforcement(item.effective, effective) and _renewed(item, effective):
                item.effective = effective
            else:
                del self._in_force[key]
                for said in item.judge.end(_gone(key[0], policies), at=at):
                    yield item.verdict(key, said)
        for key, effective in rules.items():
            if key not in self._in_force and isinstance(effective.rule.body, PatternRule):
                item = self._in_force[key] = _InForce(effective, GroupJudge(effective.rule.body))
                if (taught := self._taught.pop(key, None)) is not None:
                    item.judge.restore(taught)
        self._taught = {}  # of rules that are gone
        yield from self._recall(policies, at=at)

    def event(self, event: Event, effective: EffectiveRule, *, group: str, member: str) -> Iterator[GroupVerdict]:
        """Judge an event of a member for which a rule is in force."""
        key = effective.thresholds.policy, effective.rule.name
        item = self._in_force.get(key)
        if item is not None and event.type == item.judge.event_type:
            for said in item.judge.event(event, group=group, member=member):
                yield item.verdict(key, said)

    @property
    def tick_at(self) -> float:
        """Return before when `tick` has nothing to do, unless something happens."""
        return min((item.judge.tick_at for item in self._in_force.values()), default=NEVER)

    def tick(self, *, at: float) -> Iterator[GroupVerdict]:
        """Let time pass."""
        for key, item in self._in_force.items():
            if item.judge.tick_at <= at:
                for said in item.judge.tick(at=at):
                    yield item.verdict(key, said)

    def restore(self, name: AlertName, saved: Saved) -> None:
        """Take back an alert from before a restart: it waits until its rule applies."""
        self._waiting[(name.policy, name.rule), group_of(saved)] = saved

    def records(self) -> Iterator[tuple[str, Record]]:
        """Yield what must survive a restart: every enforced alert that fires, with its group."""
        for (key, group), saved in self._waiting.items():
            yield group, Record(AlertName(*key), saved)
        for key, item in self._in_force.items():
            for group, saved in item.judge.records() if _enforced(item.effective) else ():
                if saved.state != INACTIVE:
                    yield group, Record(AlertName(*key), replace(saved, memory={**saved.memory, _GROUP: group}))

    def learned(self) -> Iterator[tuple[PolicyKey, str, Document]]:
        """Yield the events that rules still need, to be kept: policy, rule, document."""
        for (policy, rule), document in self._taught.items():
            yield policy, rule, document
        for (policy, rule), item in self._in_force.items():
            yield policy, rule, item.judge.save()

    def teach(self, policy: PolicyKey, rule: str, document: Document) -> None:
        """Take back the events from before a restart; they wait until the rule applies."""
        item = self._in_force.get((policy, rule))
        if item is not None:
            item.judge.restore(document)
        else:
            self._taught[policy, rule] = document

    def clock_set(self, seconds: float) -> None:
        """Let timers continue though the clock was set."""
        self._waiting = {key: saved.moved(seconds) for key, saved in self._waiting.items()}
        for item in self._in_force.values():
            item.judge.clock_set(seconds)

    def _recall(self, policies: Collection[PolicyKey], *, at: float) -> Iterator[GroupVerdict]:
        waiting, self._waiting = self._waiting, {}
        for (key, group), saved in waiting.items():
            item = self._in_force.get(key)
            if item is not None and _enforced(item.effective):
                item.judge.recall(group, saved, at=at)
                continue
            _, change = resolve(saved.state, now=at, reason=_gone(key[0], policies))
            if change is not None:
                yield GroupVerdict(group, Verdict(AlertName(*key), change, saved.evidence))


def _renewed(item: _InForce, effective: EffectiveRule) -> bool:
    return isinstance(effective.rule.body, PatternRule) and item.judge.renew(effective.rule.body)


def _same_enforcement(before: EffectiveRule, now: EffectiveRule) -> bool:
    return before.thresholds.enforcement is now.thresholds.enforcement


def _enforced(effective: EffectiveRule) -> bool:
    return effective.thresholds.enforcement is Enforcement.ENFORCE


def _gone(policy: PolicyKey, policies: Collection[PolicyKey]) -> Reason:
    return Reason.POLICY_CHANGED if policy in policies else Reason.POLICY_DELETED
