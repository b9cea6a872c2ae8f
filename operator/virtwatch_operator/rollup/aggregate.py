# A policy's status as the sum of what its nodes say. Pure.
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor import Counts, FiringAlert
from virtwatch_api.policy import Enforcement, Severity
from virtwatch_api.targets import TARGET_KINDS
from virtwatch_operator.conditions import Finding, fails, holds, unknown
from virtwatch_operator.policies import PolicyFacts
from virtwatch_operator.rollup.judged import judged
from virtwatch_operator.rollup.replaced import replaced
from virtwatch_operator.rollup.reports import Presence, Report
from virtwatch_operator.rollup.wording import count, names, since

MAX_ACTIVE = 20


@dataclass(frozen=True, slots=True)
class Rollup:
    """Hold what a policy's status says, but for the times of its conditions."""

    findings: tuple[Finding, ...]
    effective_generation: int | None
    virtual_machines: int
    selected: int  # of any kind
    nodes: int
    nodes_applied: int
    counts: Counts
    would_have_fired: int
    active: tuple[FiringAlert, ...]  # at most MAX_ACTIVE, worst first
    silent: frozenset[str] = frozenset()  # nodes of such alerts: whether these still fire nobody can tell
    watched_on: frozenset[str] = frozenset()
    any_silent: bool = False  # some node has fallen silent, see Distributed
    replaced: tuple[str, ...] = ()  # which rules do not apply where, a sentence each
    warming_up: int = 0  # anomaly rules on targets that still learn
    anomalies: int = 0  # that the others have found
    judged_weeks: float = 0.0  # in which they have, those of all rules on all targets added up
    cut_series: int = 0  # that are not exported, since the policy bounds them
    cut_targets: int = 0  # of which


def roll_up(
    facts: PolicyFacts, presence: Presence, reports: Mapping[str, Report], *, read_up_to: Mapping[str, int]
) -> Rollup:
    """Sum up what nodes say of a policy; silent nodes count for what they said last, but nobody waits for them.

    `read_up_to` says up to which resourceVersion each node has read ThresholdSets: one that has read the policy's and
    says nothing of it applies it, to nothing. How many nodes there are changes nothing here.
    """
    applied = [report.applied for report in reports.values() if report.applied is not None]
    firing = [alert for report in reports.values() for alert in report.firing]
    leaving = [alert for report in reports.values() for alert in report.moving]
    moving = _between(firing, leaving) if leaving else ()
    standing = _each_once([*firing, *moving])
    active = _worst_of(standing)
    counts = sum((item.counts for item in applied), Counts()) + Counts(
        warning=sum(alert.severity is Severity.WARNING for alert in moving),
        critical=sum(alert.severity is Severity.CRITICAL for alert in moving),
    )
    in_force = facts.in_force
    applying = frozenset(
        node for node in presence.reporting if _applies(facts, reports.get(node), read_up_to.get(node, 0))
    )
    watching = frozenset(node for node, report in reports.items() if report.applied and report.applied.targets)
    virtual_machines = sum(item.virtual_machines for item in applied)
    selected = sum(item.targets for item in applied)
    distributed = _distributed(facts, presence, reports, applying)
    return Rollup(
        findings=(
            facts.accepted,
            distributed,
            _ready(facts, distributed, selected, nodes=len(watching)),
            judged(facts, presence, reports),
            _quiet(facts, presence, counts, standing, worst=active, unseen=_unseen(presence, reports)),
        ),
        effective_generation=in_force.generation if in_force else None,
        virtual_machines=virtual_machines,
        selected=selected,
        nodes=len(watching),
        nodes_applied=len(watching & applying),
        counts=counts,
        would_have_fired=sum(item.would_have_fired for item in applied),
        active=active,
        silent=frozenset(_on_silent(standing, presence)),
        watched_on=watching,
        any_silent=bool(presence.silent),
        replaced=replaced(item.replaced for item in applied),
        warming_up=sum(item.warming_up for item in applied),
        anomalies=sum(item.found for item in applied),
        judged_weeks=sum(item.judged_days for item in applied) / 7,
        cut_series=sum(item.cut_series for item in applied),
        cut_targets=sum(item.cut_targets for item in applied),
    )


def _applies(facts: PolicyFacts, report: Report | None, read_up_to: int) -> bool:
    """Return whether a node judges by what is in force."""
    if facts.in_force is None:
        return False
    if report is not None and report.applied is not None:
        return report.applied.hash == facts.in_force.hash and not report.applied.rejected
    return facts.version.isdecimal() and read_up_to >= int(facts.version)


def _between(firing: Iterable[FiringAlert], moving: Sequence[FiringAlert]) -> Sequence[FiringAlert]:
    """Return alerts that one node has let go and the other has not taken yet: nobody else counts them."""
    counted = {alert.alert for alert in firing}
    return _each_once([alert for alert in moving if alert.alert not in counted])


def _each_once(alerts: Sequence[FiringAlert]) -> Sequence[FiringAlert]:
    """Return each alert of a policy once: while a VM migrates, both nodes may report one, and the worse report counts.

    They are told apart by less than the whole key, whose hash would cost more than all the rest.
    """
    names = list(map(attrgetter("alert.rule", "alert.target.id", "alert.device"), alerts))
    unique = dict(zip(names, alerts, strict=True))
    if len(unique) < len(alerts):
        for name, item in zip(names, alerts, strict=True):
            unique[name] = min(item, unique[name], key=_order)
    return list(unique.values())


def _worst_of(alerts: Sequence[FiringAlert]) -> tuple[FiringAlert, ...]:
    """Return the alerts that are listed, the worst first."""
    critical = Severity.CRITICAL  # an enumeration's member takes longer to find than to compare
    worst = _oldest([item for item in alerts if item.severity is critical], MAX_ACTIVE)
    if len(worst) < MAX_ACTIVE:
        milder = [item for item in alerts if item.severity is not critical]
        worst += _oldest(milder, MAX_ACTIVE - len(worst))
    return tuple(worst)


def _oldest(alerts: list[FiringAlert], most: int) -> list[FiringAlert]:
    """Return the first of alerts that are equally bad. A storm has thousands: few of them are put in order."""
    for part in (attrgetter("since"), attrgetter("alert.target.id")):
        if len(alerts) <= most:
            break
        values = list(map(part, alerts))
        last = heapq.nsmallest(most, values)[-1]
        alerts = [item for item, value in zip(alerts, values, strict=True) if value <= last]
    return sorted(alerts, key=_order)[:most]


def _order(item: FiringAlert) -> tuple[int, float, str, str, str, str]:
    # Not the alert's id, which is a hash: with many alerts that alone would cost more than all the rest.
    key = item.alert
    return -item.severity.rank, item.since, key.target.id, key.rule, key.device, item.subject.node


def _distributed(
    facts: PolicyFacts, presence: Presence, reports: Mapping[str, Report], applying: frozenset[str]
) -> Finding:
    if facts.in_force is None:
        return fails("Distributed", "NothingInForce", "No generation is valid yet, so nodes have nothing to apply.")
    if not presence.reporting:
        silent = _silent(presence)
        asked = f"No node reports; is the agent running? `kubectl get nodemonitors` shows those that did.{silent}"
        return fails("Distributed", "NoNodes", asked)
    generation = f"generation {facts.in_force.generation}"
    missing = presence.reporting - applying
    if not missing:
        return holds("Distributed", "Applied", f"Every node applies {generation}.{_silent(presence)}")
    rejecting = sorted(
        (node, report.applied.rejected)
        for node in missing
        if (report := reports.get(node)) and report.applied and report.applied.rejected
    )
    if rejecting:
        node, why = rejecting[0]
        more = f" ({count(len(rejecting) - 1, 'other node')} too)" if len(rejecting) > 1 else ""
        return fails("Distributed", "Rejected", f"Node {node} rejects {generation}{more}: {why}{_silent(presence)}")
    waiting = f"Waiting for {names(missing)} to apply {generation}."
    return fails("Distributed", "Waiting", f"{waiting}{_silent(presence)}")


def _silent(presence: Presence) -> str:
    if not presence.silent:
        return ""
    verb = "has" if len(presence.silent) == 1 else "have"
    return f" {count(len(presence.silent), 'node')} {verb} fallen silent: {names(presence.silent)}."


def _ready(facts: PolicyFacts, distributed: Finding, selected: int, *, nodes: int) -> Finding:
    if not facts.accepted.status:
        stays = f" Generation {facts.in_force.generation} stays in force." if facts.in_force else ""
        message = f"Generation {facts.generation} is not accepted: see Accepted.{stays}"
        return fails("Ready", "NotAccepted", message)
    if not distributed.status:
        return fails("Ready", "NotDistributed", distributed.message)
    where = f" on {count(nodes, 'node')}" if nodes and facts.kind is not TargetKind.NODE else ""
    watched = f"{count(selected, TARGET_KINDS[facts.kind].noun)}{where}"
    return holds("Ready", "Watching", f"Watching {watched}. {distributed.message}")


def _unseen(presence: Presence, reports: Mapping[str, Report]) -> Iterable[str]:
    """Name the silent nodes that watched VMs for the policy: what happens there nobody can tell."""
    text = ((node, report.applied) for node, report in reports.items() if node in presence.silent)
    return [node for node, applied in text if applied is not None and applied.targets]


def _quiet(
    facts: PolicyFacts,
    presence: Presence,
    counts: Counts,
    standing: Sequence[FiringAlert],
    *,
    worst: Sequence[FiringAlert],
    unseen: Iterable[str],
) -> Finding:
    firing = max(counts.warning + counts.critical, len(standing))
    if firing:
        critical = max(counts.critical, list(map(attrgetter("severity"), standing)).count(Severity.CRITICAL))
        total = f"{count(firing, 'alert')} {'fires' if firing == 1 else 'fire'}, {critical} critical."
        return fails("Quiet", "Firing", f"{total}{_unknown(standing, presence)}{_worst(worst)}")
    if facts.in_force is None:
        return unknown("Quiet", "NothingInForce", "Nothing is judged: no generation is valid yet.")
    if unseen and facts.in_force.enforcement is Enforcement.ENFORCE:
        text = f"No alert fired when they last reported: {names(unseen)}. Whether one fires there now nobody can tell."
        return unknown("Quiet", "NodesSilent", text)
    if not presence.reporting:
        return unknown("Quiet", "NoNodes", "Nobody judges: no node reports.")
    match facts.in_force.enforcement:
        case Enforcement.SUSPENDED:
            return holds("Quiet", "Suspended", "Nothing is judged: enforcement is Suspended.")
        case Enforcement.OBSERVE:
            return holds("Quiet", "Observing", "Nothing is announced: enforcement is Observe.")
        case Enforcement.ENFORCE:
            return holds("Quiet", "NoAlert", "No alert fires.")


def _unknown(standing: Sequence[FiringAlert], presence: Presence) -> str:
    """Say of how many nobody can tell whether they still fire."""
    found = _on_silent(standing, presence)
    if not found:
        return ""
    silent = frozenset(found)
    verb = "is" if len(silent) == 1 else "are"
    return f" Of {len(found)} of them nobody can tell whether they still do: {names(silent)} {verb} silent."


def _on_silent(standing: Sequence[FiringAlert], presence: Presence) -> list[str]:
    """Return the silent node of each alert that is on one."""
    if not presence.silent:
        return []
    return [node for item in standing if (node := item.subject.node) in presence.silent]


def _worst(active: Sequence[FiringAlert]) -> str:
    if not active:
        return ""
    worst = active[0]
    why = worst.evidence.sentence or worst.evidence.subject
    return (
        f" Worst: {worst.severity} {worst.alert.rule} for {worst.subject.described}{worst.subject.place}"
        f" since {since(worst.since)}: {why}."
    )
