"""Judges a recording as an agent would have: the same evaluator, with the recording's clock."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import CountBy, PolicyKey
from virtwatch_api.resolution import effective_rules, resolve_rules
from virtwatch_api.targets import TargetIdentity
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.alerts import Alert
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.evaluator import Evaluator, base_interval, judge_turn
from virtwatch_rules.explanation import Explanation, explain
from virtwatch_rules.inputs import Measured
from virtwatch_rules.pattern.groups import GroupRules, GroupVerdict, joins
from virtwatch_rules.recording import (
    Recorded,
    RecordedEvent,
    RecordedLabels,
    RecordedPools,
    RecordedSample,
    TargetName,
)
from virtwatch_rules.verdict import AlertName, Verdict

_TICK_AT_MOST_S = 60.0


class Part(StrEnum):
    """Say what of a recording is judged: parts of one recording can be judged in several processes."""

    ALL = "all"
    EACH = "each"  # each target for itself
    TOGETHER = "together"  # rules that join several targets, of events alone


@dataclass(frozen=True, slots=True)
class Transition:
    """Hold what was said of one target's alert, as of when."""

    at: float
    target: TargetName
    verdict: Verdict


@dataclass(slots=True)
class _Replayed:
    evaluator: Evaluator
    labels: dict[str, str] = field(default_factory=dict)
    pools: dict[str, str] = field(default_factory=dict)  # by disk
    points: list[Any] = field(default_factory=list)  # of the instant that is read now: each as good as a Point


class Replay:
    """Judge what is fed to it, in the order of its times, by policies."""

    def __init__(
        self, thresholds: Sequence[ThresholdSet], *, windows: WindowBudget | None = None, part: Part = Part.ALL
    ) -> None:
        self._part = part
        self._thresholds = thresholds
        # A VM of a plain host is in no namespace: there every policy applies to every VM, as `virtwatch watch` has it.
        self._thresholds_anywhere = [replace(item, namespaces=None) for item in thresholds]
        self._policies: list[PolicyKey] = [item.policy for item in thresholds]
        self._windows = windows or WindowBudget()
        self._targets: dict[TargetName, _Replayed] = {}
        intervals = [base_interval(item.collection) for item in thresholds]
        self._tick = min([*intervals, _TICK_AT_MOST_S])
        self._groups = GroupRules()
        rules = {(item.policy, rule.rule.name): rule for item in thresholds for rule in effective_rules(item).values()}
        together = part is not Part.EACH
        joining = {key: rule for key, rule in rules.items() if joins(rule) is not None and together}
        for _ in self._groups.apply(joining, self._policies, at=0.0):
            pass  # nothing fires yet
        self._ticked = 0.0
        self._begun = False
        self.at = 0.0  # of the newest line
        self.late = 0  # lines that came after a newer one, and were left out

    @property
    def targets(self) -> Sequence[TargetName]:
        """Return the targets of which anything came."""
        return list(self._targets)

    def run(self, recorded: Iterable[Recorded]) -> Iterator[Transition]:
        """Judge a recording to its end."""
        targets = self._targets
        for item in recorded:
            # Of a day's recording nearly all is this: one more value of the instant that is read now.
            replayed = targets.get(item.target) if item.at == self.at else None
            if replayed is not None and type(item) is RecordedSample:
                replayed.points.append(item[2:])
            else:
                yield from self.feed(item)
        yield from self.flush()

    def feed(self, item: Recorded) -> Iterator[Transition]:
        """Take one line; lines of one instant are judged together, when a later one comes."""
        if item.at < self.at:
            self.late += 1
            return
        if item.at > self.at:
            yield from self.until(item.at)
        replayed = self._targets.get(item.target)
        if replayed is None:
            replayed = yield from self._appear(item)
        match item:
            case RecordedSample():
                replayed.points.append(item[2:])
            case RecordedEvent():
                yield from self._said(item.target, replayed.evaluator.event(item))
                yield from self._count(item, replayed)
            case RecordedLabels():
                if replayed.labels != item.labels:
                    replayed.labels = dict(item.labels)
                    yield from self._apply(item.target, replayed)
            case RecordedPools():
                replayed.pools = dict(item.pools)

    def until(self, at: float) -> Iterator[Transition]:
        """Judge what came before `at`, and let time pass until then."""
        yield from self.flush()
        if not self._begun:
            self.begin(at)
        while self._ticked + self._tick <= at:
            self._ticked += self._tick
            self.at = self._ticked
            for target, replayed in self._targets.items() if self._part is not Part.TOGETHER else ():
                yield from self._said(target, replayed.evaluator.tick(at=self._ticked))
            yield from self._said_together(self._groups.tick(at=self._ticked))
        self.at = at

    def begin(self, at: float) -> None:
        """Let time begin: ticks follow from there."""
        self._begun, self.at, self._ticked = True, at, at

    def flush(self) -> Iterator[Transition]:
        """Judge the lines of the newest instant."""
        waiting = {}
        for target, replayed in self._targets.items():
            if replayed.points:
                waiting[replayed.evaluator] = target, Measured(self.at, replayed.points)
                replayed.points = []
        for evaluator, verdict in judge_turn((evaluator, look) for evaluator, (_, look) in waiting.items()):
            yield Transition(self.at, waiting[evaluator][0], verdict)

    def alerts(self) -> Iterator[tuple[TargetName, AlertName, Alert]]:
        """Yield the alerts that are pending or fire now."""
        for target, replayed in self._targets.items():
            for name, alert, _ in replayed.evaluator.alerts():
                yield target, name, alert
        for group, record in self._groups.records():
            yield TargetName(group, TargetKind.NODE), record.name, Alert("", record.saved.state)

    def explain(self, target: TargetName) -> Explanation:
        """Explain a target as of now."""
        replayed = self._targets[target]
        identity = _identity(target, replayed)
        return explain(identity, self._scoped(identity), evaluator=replayed.evaluator, at=self.at)

    def _appear(self, item: Recorded) -> Generator[Transition, None, _Replayed]:
        replayed = self._targets[item.target] = _Replayed(Evaluator(self._windows))
        if isinstance(item, RecordedLabels):
            replayed.labels = dict(item.labels)
        yield from self._said(item.target, replayed.evaluator.appear(at=item.at))
        yield from self._apply(item.target, replayed)
        return replayed

    def _apply(self, target: TargetName, replayed: _Replayed) -> Iterator[Transition]:
        identity = _identity(target, replayed)
        rules = resolve_rules(identity, self._scoped(identity)).rules
        yield from self._said(target, replayed.evaluator.apply(rules, self._policies, at=self.at))

    def _scoped(self, identity: TargetIdentity) -> Sequence[ThresholdSet]:
        return self._thresholds if identity.namespace else self._thresholds_anywhere

    def _count(self, item: RecordedEvent, replayed: _Replayed) -> Iterator[Transition]:
        """Judge an event by the rules that join several targets: a recording is of one node."""
        for rule in list(replayed.evaluator.rules.values()):
            if (by := joins(rule)) is not None:
                for group in _groups(by, item, replayed):
                    yield from self._said_together(self._groups.event(item, rule, group=group, member=item.target.name))

    def _said_together(self, said: Iterable[GroupVerdict]) -> Iterator[Transition]:
        for item in said:
            yield Transition(self.at, TargetName(item.group, TargetKind.NODE), item.verdict)

    def _said(self, target: TargetName, verdicts: Iterable[Verdict]) -> Iterator[Transition]:
        for verdict in verdicts:
            if self._part is not Part.TOGETHER:
                yield Transition(self.at, target, verdict)


def _groups(by: CountBy, event: RecordedEvent, replayed: _Replayed) -> Iterable[str]:
    """Name the groups in which an event counts."""
    match by:
        case CountBy.NAMESPACE:
            namespace, _, _ = event.target.name.rpartition("/")
            return (f"namespace {namespace}",) if namespace else ()
        case CountBy.STORAGE_POOL:
            device = event.attributes.get("device", "")
            pools = (pool for disk, pool in replayed.pools.items() if device in ("", disk))
            return dict.fromkeys(f"storage pool {pool}" for pool in pools)
        case _:
            return ("all VMs",)


def _identity(target: TargetName, replayed: _Replayed) -> TargetIdentity:
    namespace, _, name = target.name.rpartition("/")
    return TargetIdentity(name, namespace or None, replayed.labels, kind=target.kind)
