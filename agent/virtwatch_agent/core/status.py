"""Builds a NodeMonitor's status from what the core knows.

Everything unbounded is cut here, with counts of what was cut.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypedDict, TypeVar

from virtwatch_agent.collect.budget import NO_SLOWDOWN
from virtwatch_agent.collect.cost import Cost
from virtwatch_agent.core.coverage import Coverage
from virtwatch_agent.core.ledger import Ledger
from virtwatch_agent.core.series_bound import series_bound
from virtwatch_agent.judge.target import Target
from virtwatch_agent.judge.virtual_machine import VirtualMachine
from virtwatch_agent.observations import Rejected
from virtwatch_api.evidence_codec import rounded
from virtwatch_api.nodemonitor import (
    MAX_FIRING,
    MAX_REPLACED,
    MAX_TRANSITIONS,
    MAX_UNAVAILABLE,
    Adopted,
    AgentHealth,
    Applied,
    Condition,
    ConditionType,
    Counts,
    FiringAlert,
    Handover,
    NodeStatus,
    Replaced,
    Unavailable,
    describe_unavailable,
)
from virtwatch_api.policy import Enforcement, PolicyKey, Severity
from virtwatch_api.targets import TargetRef
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.collecting import InForce
from virtwatch_rules.engine import Learning

T = TypeVar("T")
_MAX_LISTED = 64  # policies that select something here, or are rejected: about 12 kB
_MAX_UNAVAILABLE_LISTED = 24  # of all policies: about 6 kB
_MAX_REPLACED_LISTED = 24  # about 3 kB
_BACKLOG_S = 60.0  # that a transition waits before it is said that the operator does not take them
_NAMED = 3  # problems that a condition's message names before it counts the rest


@dataclass(frozen=True, slots=True)
class View:
    """Hold what a status is built from."""

    ledger: Ledger
    targets: Sequence[Target]
    coverage: Coverage
    thresholds: Sequence[ThresholdSet]
    thresholds_known: bool
    rejected: Sequence[Rejected]
    foreign: Sequence[str]
    replaced: Mapping[PolicyKey, Sequence[Replaced]]
    unavailable: Sequence[tuple[PolicyKey, Unavailable]]
    read_up_to: int
    blind_spots: Iterable[str]  # what cannot be seen now: a sentence each
    export_problem: str
    cut: Mapping[TargetRef, int]  # how many series are not exported, since policies bound them
    windows_problem: str
    budget_problem: str
    would_have_fired: Mapping[PolicyKey, int]
    health: AgentHealth


class Conditions:
    """Remember since when each condition has had its status."""

    def __init__(self) -> None:
        self._last: dict[str, Condition] = {}

    def set(self, type_: ConditionType, reason: str, message: str, *, status: bool, now: float) -> Condition:
        """Return the condition; `since` moves only when the status does."""
        last = self._last.get(type_)
        since = last.since if last is not None and last.status is status else now
        condition = Condition(type_, status, reason, message, since)
        self._last[type_] = condition
        return condition


def build_status(view: View, conditions: Conditions, *, now: float) -> NodeStatus:
    """Build the status; `now` in seconds since 1970."""
    firing, pending = _alerts(view.targets, now)
    here = {alert.alert for alert in firing}
    firing.extend(alert for alert in _gone_unlisted(view.ledger) if alert.alert not in here)
    by_policy = _by_policy(firing, pending)
    worst_first = sorted(firing, key=lambda alert: (-alert.severity.rank, alert.since, alert.alert.id))
    listed = in_turns(worst_first, lambda alert: alert.alert.policy)
    unavailable = view.unavailable
    pending_transitions = view.ledger.pending
    transitions = tuple(pending_transitions[index] for index in range(min(MAX_TRANSITIONS, len(pending_transitions))))
    return NodeStatus(
        epoch=view.ledger.epoch,
        sequence=view.ledger.sequence,
        transitions=transitions,
        waiting=len(pending_transitions) - len(transitions),
        firing=tuple(replace(item, evidence=rounded(item.evidence)) for item in listed[:MAX_FIRING]),
        counts=sum(by_policy.values(), Counts()),
        applied=tuple(in_turns(_applied(view, by_policy, unavailable), lambda item: item.policy)[:_MAX_LISTED]),
        virtual_machines=_virtual_machines(view),
        agent=view.health,
        conditions=(
            *_conditions(view, conditions, now=now),
            *_budget(view, conditions, now=now),
            _judged(unavailable, conditions, now=now),
        ),
        adopted=tuple(Adopted(handover, sequence) for handover, sequence in sorted(view.ledger.adopted.items())),
        read_up_to=view.read_up_to,
    )


def _virtual_machines(view: View) -> int:
    return sum(target.present for target in view.targets if isinstance(target, VirtualMachine))


def in_turns(items: Iterable[T], policy: Callable[[T], PolicyKey]) -> list[T]:
    """Return items so that each namespace has its first before any has its second: none crowds the others out.

    A ClusterMonitorPolicy takes its turn as a namespace does.
    """
    turns: dict[str | PolicyKey, int] = {}
    ordered: list[tuple[int, int, T]] = []
    for place, item in enumerate(items):
        key = policy(item)
        whose = key.namespace or key
        turns[whose] = turns.get(whose, 0) + 1
        ordered.append((turns[whose], place, item))
    return [item for _, _, item in sorted(ordered, key=lambda entry: entry[:2])]


def _alerts(targets: Iterable[Target], now: float) -> tuple[list[FiringAlert], list[PolicyKey]]:
    firing: list[FiringAlert] = []
    pending: list[PolicyKey] = []
    for target in targets:
        for record in target.records(fresh=True):
            if record.state.severity is None:
                pending.append(record.key.policy)
            else:
                firing.append(
                    FiringAlert(
                        alert=record.key,
                        severity=record.state.severity,
                        since=min(record.state.since or 0.0, now),
                        subject=record.subject,
                        evidence=record.evidence,
                        traceparent=record.traceparent,
                    )
                )
    return firing, pending


def _gone_unlisted(ledger: Ledger) -> Iterable[FiringAlert]:
    """Name alerts that went to another node and whose entry is too new to be listed: they must be seen somewhere."""
    newest = {item.alert: item for item in islice(ledger.pending, MAX_TRANSITIONS, None)}
    for item in newest.values():
        if item.move is not None and (firing := Handover(ledger.epoch, item, item.move).firing) is not None:
            yield firing


def _by_policy(firing: Iterable[FiringAlert], pending: Iterable[PolicyKey]) -> dict[PolicyKey, Counts]:
    counts: dict[PolicyKey, Counts] = {}
    for policy in pending:
        counts[policy] = counts.get(policy, Counts()) + Counts(pending=1)
    for alert in firing:
        one = Counts(critical=1) if alert.severity is Severity.CRITICAL else Counts(warning=1)
        counts[alert.alert.policy] = counts.get(alert.alert.policy, Counts()) + one
    return counts


def _listed(unavailable: Sequence[tuple[PolicyKey, Unavailable]]) -> dict[PolicyKey, tuple[Unavailable, ...]]:
    """Cut them, fairly."""
    listed: dict[PolicyKey, tuple[Unavailable, ...]] = {}
    for policy, item in in_turns(unavailable, lambda pair: pair[0])[:_MAX_UNAVAILABLE_LISTED]:
        listed[policy] = (*listed.get(policy, ()), item)[:MAX_UNAVAILABLE]
    return listed


def _listed_replaced(replaced: Mapping[PolicyKey, Sequence[Replaced]]) -> dict[PolicyKey, tuple[Replaced, ...]]:
    pairs = [(policy, item) for policy, items in replaced.items() for item in items[:MAX_REPLACED]]
    listed: dict[PolicyKey, tuple[Replaced, ...]] = {}
    for policy, item in in_turns(pairs, lambda pair: pair[0])[:_MAX_REPLACED_LISTED]:
        listed[policy] = (*listed.get(policy, ()), item)
    return listed


def _judged(unavailable: Sequence[tuple[PolicyKey, Unavailable]], conditions: Conditions, *, now: float) -> Condition:
    if not unavailable:
        text = "every rule can be judged for all that it selects here"
        return conditions.set(ConditionType.JUDGED, "Complete", text, status=True, now=now)
    text = _named([f"{policy}: {describe_unavailable(item)}" for policy, item in unavailable])
    return conditions.set(ConditionType.JUDGED, "SignalsMissing", text, status=False, now=now)


def _applied(
    view: View, by_policy: Mapping[PolicyKey, Counts], unavailable: Sequence[tuple[PolicyKey, Unavailable]]
) -> Iterable[Applied]:
    refused = {item.policy: item for item in view.rejected}
    in_force = {item.policy for item in view.thresholds}
    listed, replaced = _listed(unavailable), _listed_replaced(view.replaced)
    paces, learning, cut = _paces(view.targets), _learning_of(view.targets), _cut(view)
    for rejected in view.rejected:
        if rejected.policy not in in_force:
            yield Applied(rejected.policy, rejected.hash, rejected=rejected.message)
    for thresholds in view.thresholds:
        policy = thresholds.policy
        idle = not (policy in view.coverage.targets or policy in by_policy or view.would_have_fired.get(policy))
        if idle and policy not in refused and policy not in replaced:
            continue  # it selects nothing here: read_up_to says that it is known
        yield Applied(
            policy=policy,
            hash=thresholds.hash,
            virtual_machines=view.coverage.machines.get(policy, 0),
            counts=by_policy.get(policy, Counts()),
            would_have_fired=view.would_have_fired.get(policy, 0)
            if thresholds.enforcement is Enforcement.OBSERVE
            else 0,
            rejected=refused[policy].message if policy in refused else "",
            unavailable=listed.get(policy, ()),
            replaced=replaced.get(policy, ()),
            targets=view.coverage.targets.get(policy, 0),
            **_pace(thresholds, paces.get(policy)),
            **_history(learning.get(policy, ())),
            cut_series=sum(cut.get(policy, ())),
            cut_targets=len(cut.get(policy, ())),
        )


def _cut(view: View) -> Mapping[PolicyKey, Sequence[int]]:
    """Return how many series of each target are not exported, by the policies whose bound is in force there."""
    if not view.cut:
        return {}
    found: dict[PolicyKey, list[int]] = {}
    for target in view.targets:
        if series := view.cut.get(target.ref):
            for policy in series_bound(target.rules.values())[1]:
                found.setdefault(policy, []).append(series)
    return found


class _Learning(TypedDict, total=False):
    warming_up: int
    found: int
    judged_days: int


def _learning_of(targets: Iterable[Target]) -> Mapping[PolicyKey, Sequence[Learning]]:
    found: dict[PolicyKey, list[Learning]] = {}
    for target in targets:
        for policy, one in target.learning() if target.present else ():
            found.setdefault(policy, []).append(one)
    return found


def _history(learning: Sequence[Learning]) -> _Learning:
    """Add up how far rules have learned their targets; whole days, since a report is written when it says news."""
    if not learning:
        return {}
    return _Learning(
        warming_up=sum(item.warming_up for item in learning),
        found=sum(item.findings for item in learning),
        judged_days=int(sum(item.judged for item in learning) // 86400),
    )


class _Pace(TypedDict, total=False):
    mode: str
    interval: float
    because: str


def _pace(thresholds: ThresholdSet, how: InForce | None) -> _Pace:
    """Say how a policy's targets are looked at, where that is not as it wants."""
    if how is None:
        return {}
    wanted = thresholds.collection
    pace = _Pace(because=how.because)
    if how.mode is not wanted.mode:
        pace["mode"] = how.mode.value
    if how.interval != wanted.interval:
        pace["interval"] = how.interval
    return pace


def _paces(targets: Iterable[Target]) -> dict[PolicyKey, InForce]:
    """Return, of each policy, the target that is looked at most often though the policy does not want that."""
    found: dict[PolicyKey, InForce] = {}
    for target in targets:
        for policy, how in target.differing.items() if target.present else ():
            if policy not in found or how.interval < found[policy].interval:
                found[policy] = how
    return found


def _conditions(view: View, conditions: Conditions, *, now: float) -> Iterable[Condition]:
    spots = sorted(view.blind_spots)
    if not spots:
        yield conditions.set(ConditionType.COLLECTING, "AllSeen", "every known VM answers", status=True, now=now)
    else:
        yield conditions.set(ConditionType.COLLECTING, "BlindSpots", _named(spots), status=False, now=now)
    ledger = view.ledger
    if ledger.problem:
        yield conditions.set(ConditionType.JOURNALING, "DiskFailed", ledger.problem, status=False, now=now)
    elif ledger.lost:
        lost = f"{ledger.lost} oldest transitions were dropped while nobody acknowledged; is the operator running?"
        yield conditions.set(ConditionType.JOURNALING, "Overflow", lost, status=False, now=now)
    else:
        yield conditions.set(ConditionType.JOURNALING, "Written", "transitions are on disk", status=True, now=now)
    waiting = len(ledger.pending)
    oldest = now - ledger.pending[0].at if waiting else 0.0
    if waiting > MAX_TRANSITIONS or oldest > _BACKLOG_S:
        backlog = f"{waiting} transitions wait for the operator to take them: is it running?"
        yield conditions.set(ConditionType.ANNOUNCED, "Backlog", backlog, status=False, now=now)
    else:
        yield conditions.set(ConditionType.ANNOUNCED, "Taken", "the operator takes transitions", status=True, now=now)
    doubtful = [*view.foreign, *(item.message for item in view.rejected)]
    if doubtful:
        reason = "Foreign" if view.foreign else "Rejected"
        yield conditions.set(ConditionType.THRESHOLDS_VALID, reason, _named(doubtful), status=False, now=now)
    else:
        believed = "every ThresholdSet is its policy's and can be read"
        yield conditions.set(ConditionType.THRESHOLDS_VALID, "Believed", believed, status=True, now=now)
    if view.export_problem:
        yield conditions.set(ConditionType.EXPORTING, "BackendLost", view.export_problem, status=False, now=now)
    else:
        yield conditions.set(ConditionType.EXPORTING, "Delivered", "nothing is held up", status=True, now=now)
    if view.windows_problem:
        yield conditions.set(ConditionType.WINDOWS_EXACT, "Coarser", view.windows_problem, status=False, now=now)
    else:
        exact = "the windows of all rules fit the memory that they may take"
        yield conditions.set(ConditionType.WINDOWS_EXACT, "Fit", exact, status=True, now=now)
    watching = _virtual_machines(view)
    if view.thresholds_known:
        vms, policies = "VM" if watching == 1 else "VMs", "policy" if len(view.thresholds) == 1 else "policies"
        message = f"judging {watching} {vms} by {len(view.thresholds)} {policies}"
        yield conditions.set(ConditionType.READY, "Judging", message, status=True, now=now)
    else:
        message = f"watching {watching} VMs; policies are not known yet"
        yield conditions.set(ConditionType.READY, "WaitingForPolicies", message, status=False, now=now)


def _budget(view: View, conditions: Conditions, *, now: float) -> Iterable[Condition]:
    if view.budget_problem:
        yield conditions.set(ConditionType.WITHIN_BUDGET, "SlowedDown", view.budget_problem, status=False, now=now)
    elif view.health.budget:
        kept = "the agent uses no more CPU than it may"
        yield conditions.set(ConditionType.WITHIN_BUDGET, "Kept", kept, status=True, now=now)


def budget_problem(cost: Cost) -> str:
    """Say how the agent keeps to its CPU budget, empty where it needs no measures."""
    if cost.slowdown == NO_SLOWDOWN:
        return ""
    slowed = f"QEMU's monitors are asked {cost.slowdown.monitor:.1f} times less often than rules want"
    if cost.slowdown.rest > 1:
        slowed += f", all else {cost.slowdown.rest:.1f} times"
    what = "lengthen the intervals of rules, or raise VIRTWATCH_CPU_BUDGET"
    if cost.slowdown.at_its_end:
        what = f"that is not enough: {what}"
    return f"to use no more than {cost.budget:g} CPUs (now {cost.cpu:.2g}), {slowed}; {what}"


def _named(problems: Sequence[str]) -> str:
    named = problems[:_NAMED]
    more = len(problems) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")
