"""What judging leads to: transitions of alerts, with what they were judged by."""

from dataclasses import dataclass, replace

from virtwatch_agent.judge.alerts import Alert
from virtwatch_agent.judge.records import AlertRecord
from virtwatch_agent.observations import Sample, TargetEvent
from virtwatch_api.alert import AlertKey, Change, Reason, hand_over, resolve
from virtwatch_api.nodemonitor import Evidence, Move
from virtwatch_api.policy import Enforcement, PolicyKey
from virtwatch_api.resolution import EffectiveRule
from virtwatch_api.targets import Subject

_NODES_OWN = frozenset({"vm.telemetry_stuck", "vm.telemetry_recovered", "libvirt.lost", "libvirt.restored"})


def nodes_own(record: AlertRecord) -> bool:
    """Tell whether an alert is on how this node sees the VM, and so over when the VM is not here."""
    return record.last_event is not None and record.evidence.subject in _NODES_OWN


@dataclass(frozen=True, slots=True)
class Verdict:
    """Pair a transition of an alert with what it was judged by; no effective rule when that is what ended it."""

    key: AlertKey
    change: Change
    evidence: Evidence
    enforced: bool  # False while a policy only observes
    effective: EffectiveRule | None
    cause: Sample | TargetEvent | None = None
    move: Move | None = None
    subject: Subject | None = None  # of an alert that is about another VM


def on_alert(
    alert: Alert, change: Change, effective: EffectiveRule | None, cause: Sample | TargetEvent | None = None
) -> Verdict:
    """Make the verdict of an alert's change."""
    enforced = alert.enforcement is Enforcement.ENFORCE
    return Verdict(alert.key, change, alert.evidence, enforced=enforced, effective=effective, cause=cause)


def on_record(record: AlertRecord, reason: Reason, *, now: float) -> list[Verdict]:
    """End an alert from before a restart that was not taken back; one that was pending ends without a word."""
    _, change = resolve(record.state, now=now, reason=reason)
    return [] if change is None else [Verdict(record.key, change, record.evidence, enforced=True, effective=None)]


def on_stranger(record: AlertRecord, node: str, *, now: float) -> list[Verdict]:
    """End an alert that came for another VM than the one which has its UUID here, in its own VM's name."""
    subject = replace(record.subject, node=node)
    return [replace(item, subject=subject) for item in on_record(record, Reason.DOMAIN_STOPPED, now=now)]


def on_departure(record: AlertRecord, to: str, *, now: float) -> list[Verdict]:
    """Let an alert go with its VM to the node `to`; one on how this node sees the VM ends."""
    if nodes_own(record):
        return on_record(record, Reason.DOMAIN_STOPPED, now=now)
    change = hand_over(record.state, now=now)
    move = Move(to, record.state, record.traceparent, record.last_event)
    return [Verdict(record.key, change, record.evidence, enforced=True, effective=None, move=move)]


def rule_gone(key: AlertKey, policies: frozenset[PolicyKey]) -> Reason:
    """Say why an alert has no rule any more; `policies` are those that exist."""
    return Reason.POLICY_CHANGED if key.policy in policies else Reason.POLICY_DELETED
