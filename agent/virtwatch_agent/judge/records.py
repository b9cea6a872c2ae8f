"""An alert as it is kept across a restart, and as it comes along from another node."""

from dataclasses import dataclass, replace

from virtwatch_api.alert import AlertKey, AlertState, moved
from virtwatch_api.nodemonitor import Evidence, Handover
from virtwatch_api.targets import Subject


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """Hold one alert that is pending or fires; times in seconds since 1970."""

    key: AlertKey
    state: AlertState
    subject: Subject
    evidence: Evidence
    traceparent: str = ""
    last_event: float | None = None
    absent_since: float | None = None

    def clock_set(self, seconds: float) -> "AlertRecord":
        """Return the alert after the clock was set: its timers go on."""
        return replace(
            self,
            state=self.state.moved(seconds),
            last_event=moved(self.last_event, seconds),
            absent_since=moved(self.absent_since, seconds),
        )


def adopted(handover: Handover) -> AlertRecord:
    """Return an alert from another node as one of this node's."""
    transition, move = handover.transition, handover.move
    return AlertRecord(
        key=transition.alert,
        state=move.state,
        subject=transition.subject,
        evidence=transition.evidence,
        traceparent=move.traceparent,
        last_event=move.last_event,
    )
