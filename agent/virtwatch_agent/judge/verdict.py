"""What judging leads to: transitions of a target's alerts, with what they were judged by."""

from dataclasses import dataclass, replace

from virtwatch_agent.judge.records import AlertRecord
from virtwatch_agent.observations import Sample, TargetEvent
from virtwatch_api.alert import AlertKey, Change, Reason, resolve
from virtwatch_api.nodemonitor import Evidence, Move, Pool
from virtwatch_api.resolution import EffectiveRule
from virtwatch_api.targets import Subject
from virtwatch_rules.alerts import Alert


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
    alert: Alert | None = None  # where it continues
    pool: Pool | None = None  # in which an event is counted


def on_stranger(record: AlertRecord, node: str, *, now: float) -> list[Verdict]:
    """End an alert that came for another VM than the one which has its UUID here, in its own VM's name.

    One that was pending ends without a word.
    """
    _, change = resolve(record.state, now=now, reason=Reason.DOMAIN_STOPPED)
    if change is None:
        return []
    subject = replace(record.subject, node=node)
    return [Verdict(record.key, change, record.evidence, enforced=True, effective=None, subject=subject)]
