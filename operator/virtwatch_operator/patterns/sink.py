"""Counts what happens to the VMs of a namespace or a storage pool, on whatever nodes: agents report, this judges."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from opentelemetry.trace import Tracer

from virtwatch_api.alert import Action, AlertKey
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor import FiringAlert, Transition
from virtwatch_api.policy import CountBy, CountPattern, PatternRule, PolicyKey
from virtwatch_api.resolution import EffectiveRule, effective_rules
from virtwatch_api.targets import Subject, TargetRef, namespace_ref, pool_ref
from virtwatch_operator.announce.sinks import Handed, News, Origin
from virtwatch_operator.patterns.pools import Pools, id_of, is_pool
from virtwatch_operator.patterns.state import Kept, PatternStore
from virtwatch_rules.observed import Observed
from virtwatch_rules.pattern.groups import OVER_NODES, GroupRules, GroupVerdict, RuleKey, joins
from virtwatch_telemetry.traceparent import inject, links, parent

_MOST_LINKS = 32
_LOOK_EVERY_S = 10.0  # at the policies of which something is known


@dataclass(frozen=True, slots=True)
class _Event:
    """Hold an event that an agent has matched already: its attributes are those that the rule asks for."""

    type: str
    at: float
    attributes: Mapping[str, str]
    inferred: bool = False


class PatternSink:
    """Take events that agents report, and tell what they make; `tick` ends what is over.

    `hand` is the sinks'; `changed` is called with a policy of which an alert begins or ends.
    """

    name = "patterns"
    counts = True

    def __init__(
        self,
        *,
        store: PatternStore,
        hand: Callable[[Sequence[Handed]], None],
        changed: Callable[[PolicyKey], None],
        instance: str,
        tracer: Tracer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tracer = tracer
        self._store = store
        self._hand = hand
        self._changed = changed
        self._instance = instance
        self._clock = clock
        self._lock = threading.RLock()
        self._groups = GroupRules()
        self._rules: dict[PolicyKey, Mapping[RuleKey, EffectiveRule]] = {}
        self._uids: dict[PolicyKey, str] = {}
        self._pools = Pools()
        self._outgoing: list[Transition] = []
        self._observed = Observed()
        self._would: Mapping[PolicyKey, int] = {}
        self._handed: set[int] = set()
        self._epoch, self._sequence = "", 0
        self._loaded = False
        self._looked = float("-inf")

    def take(self, waiting: Sequence[News]) -> int:
        """Count all that waits of one policy on one node, and write that down.

        Raises:
            KubeError: it is not written; the same events do not count twice.
        """
        policy = waiting[0].transition.alert.policy
        attributes: dict[str, str | int] = {"virtwatch.policy": str(policy), "virtwatch.pattern.events": len(waiting)}
        others = [link for news in waiting[1:_MOST_LINKS] for link in links(news.transition.traceparent)]
        with (
            self._lock,
            self._tracer.start_as_current_span(
                "count", context=waiting[0].context, links=others, attributes=attributes
            ) as span,
        ):
            self._load()
            known = self._rules.get(policy, {})
            if any((policy, news.transition.alert.rule) not in known for news in waiting):
                self._look_at([policy])
            for news in waiting:
                self._note(self._count(news.transition), traceparent=inject(span))
            self._save()
            self._look_at_observed()
        return len(waiting)

    def tick(self) -> None:
        """Let time pass, and follow policies that were edited or deleted.

        Raises:
            KubeError: something is not written yet.
        """
        with self._lock:
            self._load()
            now = time.monotonic()
            if now - self._looked >= _LOOK_EVERY_S:
                self._looked = now
                self._look_at(list(self._rules))
            self._note(self._groups.tick(at=self._clock()))
            self._save()
            self._look_at_observed()

    def firing(self, policy: PolicyKey) -> tuple[FiringAlert, ...]:
        """Return a policy's alerts that fire.

        Raises:
            KubeError: nobody knows yet.
        """
        with self._lock:
            self._load()
            return tuple(item for item in self._firing() if item.alert.policy == policy)

    def would_have_fired(self, policy: PolicyKey) -> int:
        """Return how many alerts a policy that only observes would have had in the last day.

        Raises:
            KubeError: nobody knows yet.
        """
        with self._lock:
            self._load()
            return self._would.get(policy, 0)

    def judges(self, policy: PolicyKey, rule: str) -> bool:
        """Return whether a rule is one that is judged here, as far as is known; it waits for nothing."""
        return (policy, rule) in self._rules.get(policy, {})

    def fires(self, alert: AlertKey) -> bool:
        """Return whether an alert fires, or may: nothing was read yet."""
        with self._lock:
            return not self._loaded or any(item.alert == alert for item in self._firing())

    def _firing(self) -> Iterator[FiringAlert]:
        for group, record in self._groups.records():
            state = record.saved.state
            if state.severity is not None:
                key = AlertKey(record.name.policy, record.name.rule, _target(group))
                subject = self._subject(group, record.name.policy)
                yield FiringAlert(key, state.severity, state.since or 0.0, subject, record.saved.evidence)

    def _look_at_observed(self) -> None:
        would = self._observed.last_day(now=self._clock(), policies=self._rules.keys())
        for policy in would.keys() | self._would.keys():
            if would.get(policy) != self._would.get(policy):
                self._changed(policy)
        self._would = would

    def _count(self, transition: Transition) -> Iterable[GroupVerdict]:
        alert, subject = transition.alert, transition.subject
        rule = self._rules.get(alert.policy, {}).get((alert.policy, alert.rule))
        body = rule.rule.body if rule is not None else None
        if rule is None or not isinstance(body, PatternRule) or not isinstance(body.pattern, CountPattern):
            return ()  # it is gone, or counts something else by now
        group = self._group(transition, body.pattern.by)
        if not group or transition.evidence.subject != body.pattern.event.type:
            return ()
        event = _Event(body.pattern.event.type, transition.since, dict(body.pattern.event.where))
        return self._groups.event(event, rule, group=group, member=str(subject))

    def _group(self, transition: Transition, by: CountBy) -> str:
        """Name the group in which an event counts; empty where there is none."""
        if by is CountBy.NAMESPACE:
            return transition.subject.namespace or ""
        pool = transition.pool
        return "" if pool is None else self._pools.group(pool, node=transition.subject.node)

    def _look_at(self, policies: Iterable[PolicyKey]) -> None:
        """Put in force what policies say now."""
        rules, gone = dict(self._rules), set()
        for policy in policies:
            thresholds = self._store.thresholds_of(policy)
            if thresholds is None:
                gone.add(policy)
                rules.pop(policy, None)
                continue
            self._uids[policy] = thresholds.policy_uid
            found = effective_rules(thresholds).values()
            rules[policy] = {(policy, item.rule.name): item for item in found if joins(item) in OVER_NODES}
        if rules != self._rules:
            self._rules = rules
            wanted = {key: rule for found in rules.values() for key, rule in found.items()}
            self._note(self._groups.apply(wanted, rules.keys(), at=self._clock()))

    def _note(self, said: Iterable[GroupVerdict], *, traceparent: str = "") -> None:
        """Note what is to be reported; the trace of the event that made it leads on to who is notified."""
        for item in said:
            verdict = item.verdict
            if not verdict.enforced:
                if verdict.change.action is Action.FIRED:
                    self._observed.fired(verdict.name.policy, at=self._clock())
                continue
            self._sequence += 1
            change = verdict.change
            self._outgoing.append(
                Transition(
                    sequence=self._sequence,
                    alert=AlertKey(verdict.name.policy, verdict.name.rule, _target(item.group)),
                    action=change.action,
                    reason=change.reason,
                    severity=change.severity,
                    previous=change.previous,
                    at=round(self._clock(), 6),
                    since=round(change.since, 6),
                    subject=self._subject(item.group, verdict.name.policy),
                    evidence=verdict.evidence,
                    traceparent=traceparent,
                )
            )
            self._changed(verdict.name.policy)

    def _load(self) -> None:
        if self._loaded:
            return
        kept = self._store.load() or Kept(uuid.uuid4().hex)
        for policy, rule, document in kept.learned:
            self._groups.teach(policy, rule, document)
        for record in kept.alerts:
            self._groups.restore(record.name, record.saved)
        self._epoch, self._sequence, self._outgoing = kept.epoch, kept.sequence, list(kept.outgoing)
        self._pools.restore(kept.pools)
        self._observed = Observed()  # an earlier try may have come thus far
        for policy, rule, document in kept.observed:
            self._observed.teach(policy, rule, document)
        policies = {policy for policy, _, _ in (*kept.learned, *kept.observed)}
        policies |= {item.name.policy for item in kept.alerts}
        self._look_at(policies)
        self._loaded = True
        self._look_at_observed()
        for policy in policies:
            self._changed(policy)

    def _save(self) -> None:
        """Write what is known, then hand out what is news and was not handed out yet."""
        if not (self._rules or self._outgoing or self._sequence):
            return
        learned, alerts = list(self._groups.learned()), list(self._groups.records())
        groups = {group for _, _, document in learned for group in document.get("groups", ())}
        groups |= {group for group, _ in alerts}
        self._pools.keep(groups)
        records = [record for _, record in alerts]
        observed = list(self._observed.learned(within=0.0))
        self._store.save(
            Kept(self._epoch, self._sequence, learned, records, list(self._outgoing), self._pools.names, observed)
        )
        batch = []
        for item in self._outgoing:
            if item.sequence not in self._handed:
                self._handed.add(item.sequence)
                origin = Origin("", self._epoch, self._uids.get(item.alert.policy, ""), self._instance)
                batch.append(Handed(News(item, origin, parent(item.traceparent)), partial(self._taken, item.sequence)))
        if batch:
            self._hand(batch)

    def _taken(self, sequence: int) -> None:
        with self._lock:
            self._outgoing = [item for item in self._outgoing if item.sequence != sequence]
            self._handed.discard(sequence)

    def _subject(self, group: str, policy: PolicyKey) -> Subject:
        target = _target(group)
        if target.kind is TargetKind.STORAGE_POOL:
            return Subject(label=self._pools.name(target.id), target=target, node="", namespace=policy.namespace)
        return Subject(label=group, target=target, node="", namespace=group)


def _target(group: str) -> TargetRef:
    return pool_ref(id_of(group)) if is_pool(group) else namespace_ref(group)
