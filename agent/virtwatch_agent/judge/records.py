"""An alert as it is kept across a restart, and as it comes along from another node."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from virtwatch_api.alert import AlertKey, AlertState
from virtwatch_api.nodemonitor import Evidence, Handover
from virtwatch_api.targets import Subject
from virtwatch_rules.alerts import Saved
from virtwatch_rules.event import event_memory
from virtwatch_rules.verdict import AlertName


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """Hold one alert that is pending or fires; times in seconds since 1970. `memory` is its engine's, as JSON."""

    key: AlertKey
    state: AlertState
    subject: Subject
    evidence: Evidence
    traceparent: str = ""
    memory: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> AlertName:
        """Name it among the alerts of its target."""
        return AlertName(self.key.policy, self.key.rule, self.key.device)

    @property
    def saved(self) -> Saved:
        """Return it as its engine takes it back."""
        return Saved(self.key.device, self.state, self.evidence, self.memory, self.traceparent)


def adopted(handover: Handover) -> AlertRecord:
    """Return an alert from another node as one of this node's."""
    transition, move = handover.transition, handover.move
    return AlertRecord(
        key=transition.alert,
        state=move.state,
        subject=transition.subject,
        evidence=transition.evidence,
        traceparent=move.traceparent,
        memory=move.memory or old_memory(transition.evidence.subject, move.last_event),
    )


def old_memory(event_type: str, last_event: float | None, absent_since: float | None = None) -> Mapping[str, Any]:
    """Return the memory of an alert that version 0.1 wrote: only those on events had any."""
    if last_event is None:
        return {}
    return event_memory(event_type, last_at=last_event, absent_since=absent_since)
