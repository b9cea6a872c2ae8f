# What a policy's status says first, in lines for whoever reads `kubectl describe` from the top.
from collections.abc import Iterator

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.duration import format_duration
from virtwatch_api.figures import format_value
from virtwatch_api.policy import Enforcement
from virtwatch_api.targets import TARGET_KINDS
from virtwatch_operator.conditions import Finding
from virtwatch_operator.policies import PolicyFacts
from virtwatch_operator.rollup.aggregate import Rollup
from virtwatch_operator.rollup.wording import count, names

_MOST_CHARACTERS = 1024  # of a line: the CRD's bound


def about(facts: PolicyFacts, rollup: Rollup) -> tuple[str, ...]:
    """Say what a policy watches, where it does not apply and why, what fires, and who is notified or cannot be."""
    return tuple(line[:_MOST_CHARACTERS] for line in _lines(facts, rollup))


def _lines(facts: PolicyFacts, rollup: Rollup) -> Iterator[str]:
    findings = {item.type: item for item in rollup.findings}
    yield _watches(facts, rollup)
    if not facts.accepted.status:
        stays = f" Generation {rollup.effective_generation} stays in force." if facts.in_force else ""
        yield f"Generation {facts.generation} is not valid: {facts.accepted.message.rstrip('.')}.{stays}"
    distributed = findings["Distributed"]
    if facts.in_force is not None and (not distributed.status or rollup.any_silent):
        yield distributed.message
    yield from rollup.replaced
    if findings["Judged"].status is False:
        yield findings["Judged"].message
    if facts.in_force is not None and facts.in_force.enforcement is Enforcement.SUSPENDED:
        return
    yield _alerts(facts, rollup)
    yield from _learning(rollup)
    yield from _cut(facts, rollup)
    yield _notified(findings.get("Notifying"))


def _watches(facts: PolicyFacts, rollup: Rollup) -> str:
    if facts.in_force is None:
        return "Watches nothing: no generation is valid yet."
    if facts.in_force.enforcement is Enforcement.SUSPENDED:
        return "Judges nothing: enforcement is Suspended."
    by = f" by {count(len(facts.rules), 'rule')}" if facts.rules else ""
    often = f", each {format_duration(facts.interval)}" if facts.interval else ""
    where = f"{count(rollup.nodes, 'node')} ({names(rollup.watched_on)})"
    if not rollup.nodes:
        return f"Watches nothing now: {_nothing(facts, rollup)}."
    if facts.kind is TargetKind.NODE:
        return f"Watches {where}{by}{often}."
    return f"Watches {count(rollup.selected, TARGET_KINDS[facts.kind].noun)} on {where}{by}{often}."


def _nothing(facts: PolicyFacts, rollup: Rollup) -> str:
    if rollup.replaced:
        return "its rules give way to those of more specific policies"
    which = f" with {facts.selects}" if facts.selects else ""
    place = f" in namespace {facts.key.namespace}" if facts.key.namespace else ""
    return f"it selects no {TARGET_KINDS[facts.kind].noun}{which}{place}"


def _alerts(facts: PolicyFacts, rollup: Rollup) -> str:
    counts = rollup.counts
    firing = max(counts.warning + counts.critical, len(rollup.active))
    if facts.in_force is not None and facts.in_force.enforcement is Enforcement.OBSERVE:
        would = count(rollup.would_have_fired, "alert")
        return f"{would} would have fired in the last 24 hours; nobody is notified, as enforcement is Observe."
    waiting = f" {count(counts.pending, 'alert')} {_verb(counts.pending, 'wait')} for the time of `for`."
    pending = waiting if counts.pending else ""
    if not firing:
        return f"No alert fires.{pending}"
    listed = ""
    if firing > len(rollup.active):
        listed = f" The {len(rollup.active)} worst are listed in activeAlerts, {firing - len(rollup.active)} are not."
    return f"{count(firing, 'alert')} {_verb(firing, 'fire')}, {counts.critical} of them Critical.{listed}{pending}"


def _learning(rollup: Rollup) -> Iterator[str]:
    """Say how far anomaly rules have learned, and how often they find something; rounded, so that it changes seldom."""
    if rollup.warming_up:
        rules = count(rollup.warming_up, "anomaly rule")
        yield f"{rules} on targets {_verb(rollup.warming_up, 'learn')} what is usual: for 7 days nothing is found."
    if rollup.judged_weeks >= 1:
        found, often = count(rollup.anomalies, "finding"), _roughly(rollup.anomalies / rollup.judged_weeks)
        weeks = f"{_roughly(rollup.judged_weeks)} weeks, those of each rule on each target added up"
        yield f"Anomaly rules made {found} in {weeks}: {often} a week of one rule on one target, false ones among them."


def _cut(facts: PolicyFacts, rollup: Rollup) -> Iterator[str]:
    """Say what is not exported, since the policy bounds it."""
    if rollup.cut_series:
        targets = count(rollup.cut_targets, TARGET_KINDS[facts.kind].noun)
        yield f"{rollup.cut_series} series of {targets} are not exported: spec.collection.series bounds them."


def _roughly(number: float) -> str:
    return format_value(float(f"{number:.2g}"), "1")


def _notified(notifying: Finding | None) -> str:
    if notifying is None:
        return "Alerts become Kubernetes Events; nobody else is notified, as spec.notify names no channel."
    return f"{notifying.message[:1].upper()}{notifying.message[1:]}"


def _verb(number: int, verb: str) -> str:
    return f"{verb}s" if number == 1 else verb
