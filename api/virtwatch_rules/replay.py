"""Judges a recording as an agent would have: the same evaluator, with the recording's clock."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import CountBy, PolicyKey
from virtwatch_api.resolution import effective_rules, resolve_rules
from virtwatch_api.targets import TargetIdentity
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.alerts import Alert
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.evaluator import Evaluator, base_interval, judge_turn
from virtwatch_rules.explanation import Explanation, explain
from virtwatch_rules.inputs import Measured, Point
from virtwatch_rules.pattern.groups import GroupRules, GroupVerdict, joins
from virtwatch_rules.recording import Recorded, RecordedEvent, RecordedLabels, RecordedSample, TargetName
from virtwatch_rules.verdict import AlertName, Verdict

_TICK_AT_MOST_S = 60.0
_GROUPS = frozenset({CountBy.NODE, CountBy.NAMESPACE})  # that a recording can tell


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
    points: list[Point] = field(default_factory=list)  # of the instant that is read now


class Replay:
    """Judge what is fed to it, in the order of its times, by policies."""

    def __init__(self, thresholds: Sequence[ThresholdSet], *, windows: WindowBudget | None = None) -> None:
        self._thresholds = thresholds
        self._policies: list[PolicyKey] = [item.policy for item in thresholds]
        self._windows = windows or WindowBudget()
        self._targets: dict[TargetName, _Replayed] = {}
        intervals = [base_interval(item.collection) for item in thresholds]
        self._tick = min([*intervals, _TICK_AT_MOST_S])
        self._groups = GroupRules()
        rules = {(item.policy, rule.rule.name): rule for item in thresholds for rule in effective_rules(item).values()}
        joining = {key: rule for key, rule in rules.items() if joins(rule) is not None}
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
        for item in recorded:
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
                replayed.points.append(Point(item.signal, item.device, item.value))
            case RecordedEvent():
                yield from self._said(item.target, replayed.evaluator.event(item))
                yield from self._count(item, replayed)
            case RecordedLabels():
                if replayed.labels != item.labels:
                    replayed.labels = dict(item.labels)
                    yield from self._apply(item.target, replayed)

    def until(self, at: float) -> Iterator[Transition]:
        """Judge what came before `at`, and let time pass until then."""
        yield from self.flush()
        if not self._begun:
            self._begun, self.at, self._ticked = True, at, at
        while self._ticked + self._tick <= at:
            self._ticked += self._tick
            self.at = self._ticked
            for target, replayed in self._targets.items():
                yield from self._said(target, replayed.evaluator.tick(at=self._ticked))
            yield from self._said_together(self._groups.tick(at=self._ticked))
        self.at = at

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

    def explain(self, target: TargetName) -> Explanation:
        """Explain a target as of now."""
        replayed = self._targets[target]
        identity = _identity(target, replayed)
        return explain(identity, self._thresholds, evaluator=replayed.evaluator, at=self.at)

    def _appear(self, item: Recorded) -> Generator[Transition, None, _Replayed]:
        replayed = self._targets[item.target] = _Replayed(Evaluator(self._windows))
        if isinstance(item, RecordedLabels):
            replayed.labels = dict(item.labels)
        yield from self._said(item.target, replayed.evaluator.appear(at=item.at))
        yield from self._apply(item.target, replayed)
        return replayed

    def _apply(self, target: TargetName, replayed: _Replayed) -> Iterator[Transition]:
        rules = resolve_rules(_identity(target, replayed), self._thresholds).rules
        yield from self._said(target, replayed.evaluator.apply(rules, self._policies, at=self.at))

    def _count(self, item: RecordedEvent, replayed: _Replayed) -> Iterator[Transition]:
        """Judge an event by the rules that join several targets: a recording is of one node."""
        for rule in list(replayed.evaluator.rules.values()):
            by = joins(rule)
            if by in _GROUPS:
                namespace, _, _ = item.target.name.rpartition("/")
                group = namespace if by is CountBy.NAMESPACE else ""
                yield from self._said_together(self._groups.event(item, rule, group=group, member=item.target.name))

    def _said_together(self, said: Iterable[GroupVerdict]) -> Iterator[Transition]:
        for item in said:
            where = f"namespace {item.group}" if item.group else "all VMs"
            yield Transition(self.at, TargetName(where, TargetKind.NODE), item.verdict)

    def _said(self, target: TargetName, verdicts: Iterable[Verdict]) -> Iterator[Transition]:
        for verdict in verdicts:
            yield Transition(self.at, target, verdict)


def _identity(target: TargetName, replayed: _Replayed) -> TargetIdentity:
    namespace, _, name = target.name.rpartition("/")
    return TargetIdentity(name, namespace or None, replayed.labels, kind=target.kind)
