"""One target on this node, of any kind: the rules in force for it and their alerts.

Observations and times come in, verdicts go out.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.judge.records import AlertRecord
from virtwatch_agent.judge.unavailable import Availability, Missing
from virtwatch_agent.judge.verdict import Verdict
from virtwatch_agent.observations import Glimpse, Sample, TargetEvent
from virtwatch_api.alert import AlertKey
from virtwatch_api.nodemonitor import Move
from virtwatch_api.policy import PolicyKey
from virtwatch_api.resolution import EffectiveRule, Resolution
from virtwatch_api.targets import Subject, TargetIdentity, TargetRef
from virtwatch_rules.alerts import Document
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.collecting import InForce
from virtwatch_rules.engine import Learning
from virtwatch_rules.evaluator import Evaluator
from virtwatch_rules.event import LAST_AT
from virtwatch_rules.inputs import Measured
from virtwatch_rules.verdict import Verdict as Said


class Target(ABC):
    """Judge one target; alerts that were restored wait here until its rules are known."""

    def __init__(self, ref: TargetRef, budget: WindowBudget) -> None:
        """`budget` bounds the windows of all targets of this node."""
        self.ref = ref
        self.evaluator = Evaluator(budget)
        self._deriver = Deriver()
        self.differing: Mapping[PolicyKey, InForce] = {}  # what is collected otherwise than a policy wants
        self._exported: frozenset[str] = frozenset()
        self._followed: frozenset[str] = frozenset()
        self._availability = Availability()

    @property
    @abstractmethod
    def subject(self) -> Subject:
        """Return how alerts name the target."""

    @property
    @abstractmethod
    def selector_identity(self) -> TargetIdentity:
        """Return what policies select by."""

    @property
    def known(self) -> bool:
        """Return whether policies can be chosen."""
        return True

    @property
    def present(self) -> bool:
        """Return whether the target is there."""
        return self.evaluator.present

    @property
    def runs(self) -> bool:
        """Return whether it is there and gives what can be had of it."""
        return self.present

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Return what its rules ask for and do not get, as of the last `look_for_missing`."""
        return self._availability.missing

    def look_for_missing(self, *, clock: float) -> None:
        """Find what its rules do not get, as of `clock` (monotonic seconds)."""
        if self.runs and self.resolved:
            self._availability.look(self.evaluator, self._deriver, clock=clock)
        else:
            self._availability.clear()

    @property
    def resolved(self) -> bool:
        """Return whether its rules are known."""
        return self.evaluator.resolved

    @property
    def rules(self) -> Mapping[str, EffectiveRule]:
        """Return the rules in force, by name."""
        return self.evaluator.rules

    @property
    def policies(self) -> frozenset[PolicyKey]:
        """Return the policies whose rules are in force."""
        return self.evaluator.policies

    @property
    def waits(self) -> bool:
        """Return whether events wait until the rules are known."""
        return self.evaluator.waits

    @property
    def awake(self) -> bool:
        """Return whether an alert of its rules may have changed since it was last written."""
        return self.evaluator.awake

    def restore(self, record: AlertRecord) -> None:
        """Take back an alert from before a restart; it waits until the rules are known."""
        self.evaluator.restore(record.name, record.saved)

    def records(self, *, fresh: bool = False) -> Iterator[AlertRecord]:
        """Yield what must survive a restart: every enforced alert that is pending or fires.

        `fresh` says by what each is judged now, where that is known; otherwise what was last said stands.
        """
        subject = self.subject
        for record in self.evaluator.records():
            name, saved = record.name, record.saved
            evidence = (self.evaluator.evidence(name) if fresh else None) or saved.evidence
            if saved.evidence.culprit and saved.evidence.subject == evidence.subject:
                evidence = replace(evidence, culprit=saved.evidence.culprit)  # who it was when it fired
            if saved.evidence.place:
                evidence = replace(evidence, place=saved.evidence.place)
            key = AlertKey(name.policy, name.rule, self.ref, name.device)
            yield AlertRecord(key, saved.state, subject, evidence, saved.traceparent, saved.memory)

    def apply(self, resolution: Resolution, policies: Collection[PolicyKey], *, now: float) -> Iterator[Verdict]:
        """Put rules in force; alerts whose rule still stands keep their state, the others end."""
        evaluator, asked = self.evaluator, self.evaluator.asks
        changed = resolution.changed if resolution.before is evaluator.rules else None
        yield from self._verdicts(evaluator.apply(resolution.rules, policies, at=now, changed=changed))
        if evaluator.asks != asked:
            self._want()

    def export(self, signals: frozenset[str]) -> None:
        """Derive these signals for telemetry, though no rule asks for them."""
        if signals != self._exported:
            self._exported = signals
            self._want()

    def follow(self, signals: frozenset[str]) -> None:
        """Derive these signals to explain alerts, though no rule asks for them."""
        if signals != self._followed:
            self._followed = signals
            self._want()

    def _want(self) -> None:
        self._deriver.want({*self.evaluator.intervals, *self._exported, *self._followed})

    def until_glimpse(self, sample: Sample, before: Glimpse, *, due: float) -> Measured | None:
        """Return what was until the glimpse that led to a sample, at `due`; to be asked before `measure`."""
        return self._deriver.until(sample, before, due=due)

    def measure(self, sample: Sample, *, due: float) -> Measured | None:
        """Return what a sample tells that was due at `due`, seconds since 1970."""
        return self._deriver.measure(sample, due=due, before=sample.before)

    def judge(self, look: Measured, sample: Sample) -> Iterable[Verdict]:
        """Judge what a sample told."""
        said = self.evaluator.measured(look)
        return self._verdicts(said, cause=sample) if said else ()

    def event(self, event: TargetEvent) -> Iterator[Verdict]:
        """Judge an event; one that came before the rules are known waits for them."""
        yield from self._verdicts(self.evaluator.event(event), cause=event)

    @property
    def tick_at(self) -> float:
        """Return before when `tick` has nothing to do, unless something happens."""
        return self.evaluator.tick_at

    def tick(self, *, now: float) -> Iterable[Verdict]:
        """Let time pass: missing data, alerts that expire."""
        said = self.evaluator.tick(at=now)
        return self._verdicts(said) if said else ()

    def learned(self, *, within: float) -> Iterator[tuple[PolicyKey, str, Document]]:
        """Yield what rules have learned of it: policy, rule, document. `within` (seconds) of it at most may be lost."""
        yield from self.evaluator.learned(within=within)

    def learning(self) -> Iterator[tuple[PolicyKey, Learning]]:
        """Yield how far each rule that learns it has come."""
        yield from self.evaluator.learning()

    def teach(self, policy: PolicyKey, rule: str, document: Document) -> None:
        """Take back what a rule has learned."""
        self.evaluator.teach(policy, rule, document)

    def clock_set(self, seconds: float) -> None:
        """Let all timers continue though the clock was set by `seconds`."""
        self.evaluator.clock_set(seconds)

    def _verdicts(
        self, said: Iterable[Said], *, cause: Sample | TargetEvent | None = None, to: str = ""
    ) -> Iterator[Verdict]:
        """Say what was said of this target's alerts in the node's words; `to` is the node to which they go along."""
        for item in said:
            saved = item.saved
            move = None
            if saved is not None:
                move = Move(to, saved.state, saved.traceparent, saved.memory.get(LAST_AT), saved.memory)
            yield Verdict(
                AlertKey(item.name.policy, item.name.rule, self.ref, item.name.device),
                item.change,
                item.evidence,
                enforced=item.enforced,
                effective=item.effective,
                cause=cause if item.effective is not None else None,
                move=move,
                alert=item.alert,
            )
