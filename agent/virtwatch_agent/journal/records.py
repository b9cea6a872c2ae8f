# What the agent remembers across a restart, as JSON text. Unknown or broken records are reported, never fatal.
import json
from dataclasses import asdict, dataclass, replace

from virtwatch_agent.observations import Domain, DomainState, KubernetesIdentity
from virtwatch_api.alert import AlertKey, AlertState, moved
from virtwatch_api.nodemonitor import Evidence, Handover, Subject, Transition
from virtwatch_api.nodemonitor_codec import decode_transition, encode_transition
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity


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


@dataclass(frozen=True, slots=True)
class DomainRecord:
    """Hold a domain as it was last seen, so that what happened while nobody looked can be inferred.

    `paused_by` is the type of the event that was judged and paused it, empty without one.
    """

    domain: Domain
    identity: KubernetesIdentity | None
    paused_by: str = ""


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


def encode_alert(record: AlertRecord) -> str:
    """Write an alert."""
    return json.dumps(asdict(record), separators=(",", ":"))


def decode_alert(text: str) -> AlertRecord:
    """Read an alert.

    Raises:
        ValueError, KeyError, TypeError: the text is not an alert of this version.
    """
    document = json.loads(text)
    key = document["key"]
    policy = key["policy"]
    state = document["state"]
    severity = state.pop("severity")
    return AlertRecord(
        key=AlertKey(
            policy=PolicyKey(PolicyKind(policy["kind"]), policy["name"], policy["namespace"]),
            rule=key["rule"],
            domain=key["domain"],
            device=key["device"],
        ),
        state=AlertState(severity=Severity(severity) if severity else None, **state),
        subject=Subject(**document["subject"]),
        evidence=Evidence(**document["evidence"]),
        traceparent=document["traceparent"],
        last_event=document["last_event"],
        absent_since=document["absent_since"],
    )


def encode_domain(record: DomainRecord) -> str:
    """Write a domain."""
    return json.dumps(asdict(record), separators=(",", ":"))


def decode_domain(text: str) -> DomainRecord:
    """Read a domain.

    Raises:
        ValueError, KeyError, TypeError: the text is not a domain of this version.
    """
    document = json.loads(text)
    domain = document["domain"]
    state = DomainState(domain.pop("state"))
    identity = document["identity"]
    if identity is not None:
        identity["pod_uids"] = tuple(identity["pod_uids"])
    return DomainRecord(
        Domain(state=state, **domain),
        KubernetesIdentity(**identity) if identity else None,
        document.get("paused_by", ""),
    )


def encode_entry(transition: Transition) -> str:
    """Write a journal entry, in the shape that NodeMonitor status has."""
    return json.dumps(encode_transition(transition), separators=(",", ":"))


def decode_entry(text: str) -> Transition:
    """Read a journal entry.

    Raises:
        ValueError, KeyError, TypeError: the text is not a transition of this version.
    """
    return decode_transition(json.loads(text))
