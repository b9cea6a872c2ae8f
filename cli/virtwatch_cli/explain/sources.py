"""Where an explanation comes from: a look of a few seconds at a VM of this host, or a recording."""

import queue
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from virtwatch_agent.collect.libvirt.collector import LibvirtCollector
from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Appeared, Domain, Observation, Sample, TargetEvent
from virtwatch_api.catalogue.entries import Source, TargetKind
from virtwatch_api.resolution import resolve_rules
from virtwatch_api.targets import TARGET_KINDS, TargetIdentity
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.backtest.driver import BacktestError, read_recordings, read_thresholds
from virtwatch_cli.explain.culprits import Culprits
from virtwatch_cli.watch.connections import choose
from virtwatch_cli.watch.watched import kubernetes_identity
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.evaluator import Evaluator
from virtwatch_rules.explanation import Explanation, explain
from virtwatch_rules.inputs import Measured, Point
from virtwatch_rules.replay import Replay

_FIND_S = 10.0  # for so long a VM is looked for
_LOOK_EVERY_S = 1.0


class ExplainError(Exception):
    """Say why nothing can be explained."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold an explanation of a target, and how it was come by; `missing` says why a signal had no value."""

    target: str
    state: str
    explanation: Explanation
    note: str
    contention: str = ""  # who has the CPU that it waits for
    missing: Mapping[str, str] = field(default_factory=dict)


def recorded(kind: TargetKind, name: str, policies: Sequence[Path], samples: Sequence[Path]) -> Answer:
    """Explain a target as of the end of a recording.

    Raises:
        ExplainError: it is not in there, or something cannot be read.
    """
    try:
        thresholds = read_thresholds(policies, enforced=False)
        replay = Replay(thresholds)
        for _ in replay.run(read_recordings(samples)):
            pass
    except BacktestError as error:
        raise ExplainError(str(error)) from error
    noun = TARGET_KINDS[kind].noun
    found = next((item for item in replay.targets if item.kind is kind and item.name == name), None)
    if found is None:
        there = ", ".join(sorted(item.name for item in replay.targets if item.kind is kind)) or "none"
        raise ExplainError(f'the recording has no {noun} "{name}"; it has {there}')
    explanation = replay.explain(found)
    return Answer(f"{noun} {name}", "recorded", explanation, "as of the end of the recording")


def live(kind: TargetKind, name: str, policies: Sequence[Path], uris: Sequence[str], *, seconds: float) -> Answer:
    """Look at a VM of this host for some seconds, then explain it.

    Raises:
        ExplainError: the VM is not there, or a policy cannot be read.
    """
    try:
        thresholds = read_thresholds(policies, enforced=False)
    except BacktestError as error:
        raise ExplainError(str(error)) from error
    noun = TARGET_KINDS[kind].noun
    if kind is not TargetKind.VIRTUAL_MACHINE:
        explanation = explain(TargetIdentity(name, kind=kind), thresholds)
        return Answer(f"{noun} {name}", "not looked at", explanation, "the resolution alone: only VMs are looked at")
    look = _Look(name, thresholds)
    collector = LibvirtCollector(choose(uris).settings, time)
    heard: queue.SimpleQueue[Observation] = queue.SimpleQueue()

    def deliver(*observations: Observation) -> None:
        for observation in observations:
            heard.put(observation)

    collector.start(deliver)
    try:
        end = time.monotonic() + _FIND_S
        while (rest := end - time.monotonic()) > 0:
            try:
                observation = heard.get(timeout=min(rest, 0.5))
            except queue.Empty:
                continue
            if look.take(observation):
                assert look.domain is not None
                collector.plan(look.domain.target, look.plan())
                end = time.monotonic() + seconds
    finally:
        collector.stop()
    if look.domain is None:
        there = ", ".join(sorted(look.others)) or "none"
        raise ExplainError(f'no VM "{name}" was found within {_FIND_S:g} s; those here: {there}')
    return look.answer(f"{noun} {name}", seconds)


class _Look:
    """Judge one VM for a while."""

    def __init__(self, name: str, thresholds: Sequence[ThresholdSet]) -> None:
        self._name = name
        self._thresholds = thresholds
        self._evaluator = Evaluator(WindowBudget())
        self._deriver = Deriver()
        self._identity = TargetIdentity(name)
        self._culprits = Culprits()
        self.domain: Domain | None = None
        self.others: set[str] = set()

    def take(self, observation: Observation) -> bool:
        """Take what was heard; True when the VM was found by it."""
        match observation:
            case Appeared(domain, at):
                identity = _identity(domain)
                called = f"{identity.namespace}/{identity.name}" if identity.namespace else identity.name
                self.others.add(called)
                self._culprits.met(domain, called)
                if called != self._name or self.domain is not None:
                    return False
                self.domain, self._identity = domain, identity
                rules = resolve_rules(identity, self._thresholds).rules
                list(self._evaluator.appear(at=at))
                list(self._evaluator.apply(rules, [item.policy for item in self._thresholds], at=at))
                self._deriver.want(self._evaluator.intervals)
                return True
            case Sample() if self.domain is not None and observation.target == self.domain.target:
                self._culprits.measured(observation)
                points = [Point(point.signal, point.device, point.value) for point in self._deriver.derive(observation)]
                list(self._evaluator.measured(Measured(float(round(observation.at)), points)))
            case TargetEvent() if self.domain is not None and observation.target == self.domain.target:
                list(self._evaluator.event(observation))
            case _:
                pass
        return False

    def plan(self) -> dict[Source, float]:
        """Ask each source that some rule needs, each second."""
        explanation = explain(self._identity, self._thresholds)
        return {question.source: _LOOK_EVERY_S for question in explanation.asked()}

    def answer(self, target: str, seconds: float) -> Answer:
        """Explain what was seen."""
        assert self.domain is not None
        at = time.time()
        list(self._evaluator.tick(at=at))
        explanation = explain(self._identity, self._thresholds, evaluator=self._evaluator, at=at)
        note = f"after a look of {seconds:g} s: what needs more time than that, an agent knows better"
        wanted = self._evaluator.intervals
        missing = {name: self._deriver.absence(name) for name in wanted if not self._deriver.gave(name)}
        return Answer(target, self.domain.state.value, explanation, note, self._culprits.text(self.domain), missing)


def _identity(domain: Domain) -> TargetIdentity:
    found = kubernetes_identity(domain)
    return TargetIdentity(found.name, found.namespace) if found else TargetIdentity(domain.name)
