"""Counts what happens to the VMs of a namespace, on whatever nodes: agents report, this judges by the same engine."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from opentelemetry.context import Context

from virtwatch_api.alert import AlertKey
from virtwatch_api.nodemonitor import FiringAlert, Transition
from virtwatch_api.policy import CountBy, CountPattern, PatternRule, PolicyKey
from virtwatch_api.resolution import EffectiveRule, effective_rules
from virtwatch_api.targets import Subject, namespace_ref
from virtwatch_operator.announce.sinks import Handed, News, Origin
from virtwatch_operator.patterns.state import Kept, PatternStore
from virtwatch_rules.pattern.groups import GroupRules, GroupVerdict, RuleKey, joins

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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._hand = hand
        self._changed = changed
        self._instance = instance
        self._clock = clock
        self._lock = threading.RLock()
        self._groups = GroupRules()
        self._rules: dict[PolicyKey, Mapping[RuleKey, EffectiveRule]] = {}
        self._uids: dict[PolicyKey, str] = {}
        self._outgoing: list[Transition] = []
        self._handed: set[int] = set()
        self._epoch, self._sequence = "", 0
        self._loaded = False
        self._looked = float("-inf")

    def take(self, waiting: Sequence[News]) -> int:
        """Count all that waits of one policy on one node, and write that down.

        Raises:
            KubeError: it is not written; the same events do not count twice.
        """
        with self._lock:
            self._load()
            policy = waiting[0].transition.alert.policy
            known = self._rules.get(policy, {})
            if any((policy, news.transition.alert.rule) not in known for news in waiting):
                self._look_at([policy])
            for news in waiting:
                self._note(self._count(news.transition))
            self._save()
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

    def firing(self, policy: PolicyKey) -> tuple[FiringAlert, ...]:
        """Return a policy's alerts that fire."""
        with self._lock:
            return tuple(item for item in self._firing() if item.alert.policy == policy)

    def fires(self, alert: AlertKey) -> bool:
        """Tell whether an alert fires, or may: nothing was read yet."""
        with self._lock:
            return not self._loaded or any(item.alert == alert for item in self._firing())

    def _firing(self) -> Iterator[FiringAlert]:
        for group, record in self._groups.records():
            state = record.saved.state
            if state.severity is not None:
                key = AlertKey(record.name.policy, record.name.rule, namespace_ref(group))
                yield FiringAlert(key, state.severity, state.since or 0.0, _subject(group), record.saved.evidence)

    def _count(self, transition: Transition) -> Iterable[GroupVerdict]:
        alert, subject = transition.alert, transition.subject
        rule = self._rules.get(alert.policy, {}).get((alert.policy, alert.rule))
        body = rule.rule.body if rule is not None else None
        if rule is None or not isinstance(body, PatternRule) or not isinstance(body.pattern, CountPattern):
            return ()  # it is gone, or counts something else by now
        if not subject.namespace or transition.evidence.subject != body.pattern.event.type:
            return ()
        event = _Event(body.pattern.event.type, transition.since, dict(body.pattern.event.where))
        return self._groups.event(event, rule, group=subject.namespace, member=str(subject))

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
            rules[policy] = {(policy, item.rule.name): item for item in found if joins(item) is CountBy.NAMESPACE}
        if rules != self._rules:
            self._rules = rules
            wanted = {key: rule for found in rules.values() for key, rule in found.items()}
            self._note(self._groups.apply(wanted, rules.keys(), at=self._clock()))

    def _note(self, said: Iterable[GroupVerdict]) -> None:
        for item in said:
            verdict = item.verdict
            if not verdict.enforced:
                continue
            self._sequence += 1
            change = verdict.change
            self._outgoing.append(
                Transition(
                    sequence=self._sequence,
                    alert=AlertKey(verdict.name.policy, verdict.name.rule, namespace_ref(item.group)),
                    action=change.action,
                    reason=change.reason,
                    severity=change.severity,
                    previous=change.previous,
                    at=round(self._clock(), 6),
                    since=round(change.since, 6),
                    subject=_subject(item.group),
                    evidence=verdict.evidence,
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
        policies = {policy for policy, _, _ in kept.learned} | {item.name.policy for item in kept.alerts}
        self._look_at(policies)
        self._loaded = True
        for policy in policies:
            self._changed(policy)

    def _save(self) -> None:
        """Write what is known, then hand out what is news and was not handed out yet."""
        if not (self._rules or self._outgoing or self._sequence):
            return
        self._store.save(
            Kept(
                self._epoch,
                self._sequence,
                list(self._groups.learned()),
                [record for _, record in self._groups.records()],
                list(self._outgoing),
            )
        )
        batch = []
        for item in self._outgoing:
            if item.sequence not in self._handed:
                self._handed.add(item.sequence)
                origin = Origin("", self._epoch, self._uids.get(item.alert.policy, ""), self._instance)
                batch.append(Handed(News(item, origin, Context()), partial(self._taken, item.sequence)))
        if batch:
            self._hand(batch)

    def _taken(self, sequence: int) -> None:
        with self._lock:
            self._outgoing = [item for item in self._outgoing if item.sequence != sequence]
            self._handed.discard(sequence)


def _subject(namespace: str) -> Subject:
    return Subject(label=namespace, target=namespace_ref(namespace), node="", namespace=namespace)
