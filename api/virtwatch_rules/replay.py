"""Judges a recording as an agent would have: the same evaluator, with the recording's clock."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import ConditionRule, CountBy, PolicyKey, ThresholdRule
from virtwatch_api.resolution import effective_rules, resolve_rules
from virtwatch_api.targets import TargetIdentity
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.alerts import Alert
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.engine import NEVER
from virtwatch_rules.evaluator import Evaluator, judge_turn
from virtwatch_rules.explanation import Explanation, explain
from virtwatch_rules.inputs import Measured
from virtwatch_rules.pattern.groups import GroupRules, GroupVerdict, RuleKey, joins
from virtwatch_rules.recording import (
    Recorded,
    RecordedEvent,
    RecordedLabels,
    RecordedPools,
    RecordedSample,
    TargetName,
)
from virtwatch_rules.store import STALE_AT_LEAST_S, STALE_INTERVALS
from virtwatch_rules.verdict import AlertName, Verdict

_TICK_S = 1.0  # as an agent's


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
    came: float = 0.0  # when its newest line did
    settles: float = 0.0  # after so many seconds without a line, samples that do not come change nothing more
    due: float = NEVER  # before when no tick of it changes anything
    signals: dict[RuleKey, set[str]] = field(default_factory=dict)  # that each rule judges it by, or has judged it by

    def is_silent(self, at: float) -> bool:
        return at > self.came + self.settles


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
        self._groups = GroupRules()
        rules = {(item.policy, rule.rule.name): rule for item in thresholds for rule in effective_rules(item).values()}
        together = part is not Part.EACH
        joining = {key: rule for key, rule in rules.items() if joins(rule) is not None and together}
        for _ in self._groups.apply(joining, self._policies, at=0.0):
            pass  # nothing fires yet
        self._begun: float | None = None
        self._ticks = 0  # that time has had
        self._due = NEVER  # the soonest of the targets
        self.at = 0.0  # of the newest line
        self.late = 0  # lines that came after a newer one, and were left out

    @property
    def signals(self) -> Mapping[TargetName, Mapping[RuleKey, Set[str]]]:
        """Return by which signals each target was judged, by each rule that was in force for it at some time."""
        return {target: replayed.signals for target, replayed in self._targets.items()}

    @property
    def has_labels(self) -> bool:
        """Return whether labels came of any target."""
        return any(replayed.labels for replayed in self._targets.values())

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
                yield from self._catch_up(item.target, replayed)
                yield from self._said(item.target, replayed.evaluator.event(item))
                yield from self._count(item, replayed)
                self._plan(replayed)
            case RecordedLabels():
                if replayed.labels != item.labels:
                    yield from self._catch_up(item.target, replayed)
                    replayed.labels = dict(item.labels)
                    yield from self._apply(item.target, replayed)
            case RecordedPools():
                replayed.pools = dict(item.pools)

    def until(self, at: float) -> Iterator[Transition]:
        """Judge what came before `at`, and let time pass until then: each second in which something is due."""
        yield from self.flush()
        if self._begun is None:
            self.begin(at)
        begun = self._begun or 0.0
        while (due := min(self._due, self._groups.tick_at)) <= at:
            ticks = max(self._ticks + 1, _first_tick(due, begun))
            if begun + ticks * _TICK_S > at:
                break
            self._ticks, self.at = ticks, begun + ticks * _TICK_S
            yield from self._tick()
        self._ticks = max(self._ticks, _last_tick(at, begun))
        self.at = at

    def begin(self, at: float) -> None:
        """Let time begin: ticks follow from there."""
        self._begun, self.at, self._ticks = at, at, 0

    def flush(self) -> Iterator[Transition]:
        """Judge the lines of the newest instant."""
        waiting = {}
        for target, replayed in self._targets.items():
            if replayed.points:
                yield from self._catch_up(target, replayed)
                waiting[replayed.evaluator] = target, Measured(self.at, replayed.points)
                replayed.points = []
        for evaluator, verdict in judge_turn((evaluator, look) for evaluator, (_, look) in waiting.items()):
            yield Transition(self.at, waiting[evaluator][0], verdict)
        if self._part is not Part.TOGETHER:
            for target, _ in waiting.values():
                replayed = self._targets[target]
                replayed.due = min(replayed.due, replayed.evaluator.series_due_at)
                self._due = min(self._due, replayed.due)

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
        for _ in self._catch_up(target, replayed):
            pass  # nothing: what is silent has settled
        identity = _identity(target, replayed)
        return explain(identity, self._scoped(identity), evaluator=replayed.evaluator, at=self.at)

    def _appear(self, item: Recorded) -> Generator[Transition, None, _Replayed]:
        replayed = self._targets[item.target] = _Replayed(Evaluator(self._windows), came=item.at)
        if isinstance(item, RecordedLabels):
            replayed.labels = dict(item.labels)
        yield from self._said(item.target, replayed.evaluator.appear(at=item.at))
        yield from self._apply(item.target, replayed)
        return replayed

    def _apply(self, target: TargetName, replayed: _Replayed) -> Iterator[Transition]:
        identity = _identity(target, replayed)
        rules = resolve_rules(identity, self._scoped(identity)).rules
        yield from self._said(target, replayed.evaluator.apply(rules, self._policies, at=self.at))
        for effective in rules.values():
            replayed.signals.setdefault(effective.key, set())
        for effective, wanted in replayed.evaluator.asked():
            replayed.signals[effective.key].add(wanted.signal)
        replayed.settles = _settles_after(replayed.evaluator)
        self._plan(replayed)

    def _tick(self) -> Iterator[Transition]:
        for target, replayed in self._targets.items():
            if replayed.due <= self.at:
                silent = replayed.is_silent(self.at)
                yield from self._said(target, replayed.evaluator.tick(at=self.at, silent=silent))
                self._plan(replayed)
        self._due = min((replayed.due for replayed in self._targets.values()), default=NEVER)
        yield from self._said_together(self._groups.tick(at=self.at))

    def _plan(self, replayed: _Replayed) -> None:
        """Note when time next changes anything of a target."""
        if self._part is not Part.TOGETHER:
            replayed.due = replayed.evaluator.due_at(silent=replayed.is_silent(self.at))
            self._due = min(self._due, replayed.due)

    def _catch_up(self, target: TargetName, replayed: _Replayed) -> Iterator[Transition]:
        """Let the time pass that a target has not seen while it was silent: a line of it comes."""
        if replayed.is_silent(self.at) and self._part is not Part.TOGETHER:
            ticked = (self._begun or 0.0) + self._ticks * _TICK_S
            yield from self._said(target, replayed.evaluator.tick(at=ticked))
        replayed.came = self.at

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


def _last_tick(at: float, begun: float) -> int:
    """Return the number of the last tick that is not after an instant; a difference of large times is not exact."""
    number = int((at - begun) / _TICK_S)
    return number + (begun + (number + 1) * _TICK_S <= at) - (begun + number * _TICK_S > at)


def _first_tick(at: float, begun: float) -> int:
    """Return the number of the first tick that is not before an instant."""
    if at <= begun:
        return 0
    number = _last_tick(at, begun)
    return number + (begun + number * _TICK_S < at)


def _settles_after(evaluator: Evaluator) -> float:
    """Return after how many seconds of silence all windows are empty and all timers over, with room for both."""
    windows, timers = [0.0], [0.0]
    for effective, wanted in evaluator.asked():
        body = effective.rule.body
        windows.append(max(wanted.aggregate.window, STALE_INTERVALS * wanted.interval, STALE_AT_LEAST_S))
        if isinstance(body, ThresholdRule | ConditionRule):
            timers.append(body.timing.for_ + body.timing.keep_firing_for)
    return 2 * (max(windows) + max(timers))


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
