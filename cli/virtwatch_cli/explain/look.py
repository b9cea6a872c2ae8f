"""Judges one target of this host for a while, to explain it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Appeared, Domain, ObjectsListed, Observation, Sample, TargetEvent
from virtwatch_api.catalogue.entries import Source, TargetKind
from virtwatch_api.resolution import resolve_rules
from virtwatch_api.targets import TARGET_KINDS, TargetIdentity, TargetRef, node_ref
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.explain.culprits import Culprits
from virtwatch_cli.watch.watched import kubernetes_identity
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.evaluator import Evaluator
from virtwatch_rules.explanation import Explanation, explain
from virtwatch_rules.inputs import Measured, Point

_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold an explanation of a target, and how it was come by; `missing` says why a signal had no value."""

    target: str
    state: str
    explanation: Explanation
    note: str
    contention: str = ""  # who has the CPU that it waits for
    missing: Mapping[str, str] = field(default_factory=dict)


class Look:
    """Judge one target; `target` is None until it is found, `others` are those of its kind that are there."""

    def __init__(self, kind: TargetKind, name: str, thresholds: Sequence[ThresholdSet]) -> None:
        self._kind = kind
        self._name = name
        self._thresholds = thresholds
        self._evaluator = Evaluator(WindowBudget())
        self._deriver = Deriver()
        self._identity = TargetIdentity(name, kind=kind)
        self._culprits = Culprits()
        self._domain: Domain | None = None
        self._state = ""
        self.target: TargetRef | None = None
        self.others: set[str] = set()

    def find_node(self, here: str, *, at: float) -> None:
        """Find the node, if it is asked about by the name of this host."""
        self.others.add(here)
        if self._name == here:
            self._found(node_ref(here), self._identity, "up", at=at)

    def take(self, observation: Observation) -> None:
        """Take what was heard."""
        match observation:
            case Appeared(domain, at) if self._kind is TargetKind.VIRTUAL_MACHINE:
                self._appeared(domain, at)
            case ObjectsListed(kind, _, at, objects) if kind is self._kind:
                for item in objects:
                    self.others.add(item.name)
                    if item.name == self._name and self.target is None:
                        self._found(item.target, self._identity, "active" if item.active else "inactive", at=at)
            case Sample() if self.target is not None and observation.target == self.target:
                if self._domain is not None:
                    self._culprits.measured(observation)
                points = [Point(point.signal, point.device, point.value) for point in self._deriver.derive(observation)]
                list(self._evaluator.measured(Measured(float(round(observation.at)), points)))
            case TargetEvent() if self.target is not None and observation.target == self.target:
                list(self._evaluator.event(observation))
            case _:
                pass

    def plan(self) -> dict[Source, float]:
        """Ask each source that some rule needs, each second."""
        explanation = explain(self._identity, self._thresholds)
        return {question.source: _LOOK_EVERY_S for question in explanation.asked()}

    def answer(self, seconds: float) -> Answer:
        """Explain what was seen in a look of so many seconds."""
        at = time.time()
        list(self._evaluator.tick(at=at))
        explanation = explain(self._identity, self._thresholds, evaluator=self._evaluator, at=at)
        note = f"after a look of {seconds:g} s: what needs more time than that, an agent knows better"
        wanted = self._evaluator.intervals
        missing = {name: self._deriver.absence(name) for name in wanted if not self._deriver.gave(name)}
        contention = "" if self._domain is None else self._culprits.text(self._domain)
        return Answer(
            f"{TARGET_KINDS[self._kind].noun} {self._name}", self._state, explanation, note, contention, missing
        )

    def _appeared(self, domain: Domain, at: float) -> None:
        identity = _identity(domain)
        called = f"{identity.namespace}/{identity.name}" if identity.namespace else identity.name
        self.others.add(called)
        self._culprits.met(domain, called)
        if called == self._name and self.target is None:
            self._domain = domain
            self._found(domain.target, identity, domain.state.value, at=at)

    def _found(self, target: TargetRef, identity: TargetIdentity, state: str, *, at: float) -> None:
        self.target, self._identity, self._state = target, identity, state
        rules = resolve_rules(identity, self._thresholds).rules
        list(self._evaluator.appear(at=at))
        list(self._evaluator.apply(rules, [item.policy for item in self._thresholds], at=at))
        self._deriver.want(self._evaluator.intervals)


def _identity(domain: Domain) -> TargetIdentity:
    found = kubernetes_identity(domain)
    return TargetIdentity(found.name, found.namespace) if found else TargetIdentity(domain.name)
