# The bodies of Events: pure, so that what people read is held by golden files.
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from virtwatch_api.alert import Action, Reason
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor import FiringAlert, Transition
from virtwatch_api.nodemonitor_codec import format_time
from virtwatch_api.policy import PolicyKey, Severity
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_api.targets import TARGET_KINDS, Subject
from virtwatch_kube.paths import EVENTS
from virtwatch_operator.announce.sinks import Origin
from virtwatch_operator.figures import said
from virtwatch_operator.tracing import trace_id

Json = dict[str, Any]

CONTROLLER = "virtwatch.io/operator"
# Events about what has no namespace live here, as the API server demands.
CLUSTER_NAMESPACE = "default"
ABOUT_TARGET = "vm"
NOTE_BYTES = 1024  # the API server's limit
_ENDED = {
    Reason.RECOVERED: "the value is good again",
    Reason.EVENT_CLEARED: "an event cleared it",
    Reason.EXPIRED: "nothing renewed it",
    Reason.NO_DATA: "its signal has no data",
    Reason.MIGRATED: "the VM moved to a node with no agent that could continue the alert",
    Reason.POLICY_CHANGED: "its rule changed or does not apply to it any more",
    Reason.POLICY_DELETED: "its policy was deleted",
}
_TELLING = (Reason.RECOVERED, Reason.EVENT_CLEARED, Reason.NO_DATA)


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """Name an object as Events do; `uid` is empty where nobody knows it any more."""

    api_version: str
    kind: str
    name: str
    namespace: str | None = None
    uid: str = ""

    def encode(self) -> Json:
        """Write the reference."""
        optional = {"namespace": self.namespace, "uid": self.uid}
        given = {name: value for name, value in optional.items() if value}
        return {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, **given}

    @classmethod
    def decode(cls, document: Json) -> "ObjectReference":
        """Read a reference."""
        return cls(
            document.get("apiVersion", ""),
            document["kind"],
            document["name"],
            document.get("namespace"),
            document.get("uid", ""),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Announcement:
    """Hold one Event to be: about what, where, and its whole body.

    `budget` names what it counts for: its alert, or its policy. `alert` is the alert whose first Critical and whose end
    no budget withholds, empty for none; `severity` is what it has now.
    """

    regarding: ObjectReference
    namespace: str
    name: str
    body: Json
    budget: str
    alert: str = ""
    severity: Severity | None = None


def announcements(transition: Transition, origin: Origin) -> tuple[Announcement, ...]:
    """Write the Events of a transition: about the target, where an object stands for it, and about the policy.

    Their names follow from alert, journal and sequence alone, so that whoever tells it again meets what is there.
    """
    target, policy = _regarding(transition.subject), policy_reference(transition.alert.policy, origin.policy_uid)
    if target is None:
        return (_announcement(transition, origin, regarding=policy, related=None, role=ABOUT_TARGET),)
    return (
        _announcement(transition, origin, regarding=target, related=policy, role=ABOUT_TARGET),
        _announcement(transition, origin, regarding=policy, related=target, role="policy"),
    )


def withheld(first: Announcement, *, count: int, burst: int, last: float) -> Announcement:
    """Write the one Event that says how many more would have been; `last` is the newest of them in seconds since 1970.

    All but the count is the same for the same first one, since the API server lets nothing else be changed.
    """
    name = f"{first.name}.withheld"
    note = (
        f"Not every change of the alerts of {first.regarding} became an Event: after {burst} in a row, one per 5"
        " min is written, and none that the namespace refuses for 60 s. This Event's count says how many were withheld;"
        " telemetry and the policy's status have them all."
    )
    body = {
        **first.body,
        "metadata": {"name": name, "namespace": first.namespace},
        "type": "Warning",
        "reason": "AlertsWithheld",
        "action": "Withheld",
        "note": note,
    }
    if count > 1:
        body["series"] = {"count": count, "lastObservedTime": format_time(last)}
    return Announcement(first.regarding, first.namespace, name, body, first.budget)


def lasting(alert: FiringAlert, policy_uid: str, instance: str, *, count: int, every: float, at: float) -> Announcement:
    """Write the Event that reminds of an alert which lasts, for the `count`-th time, `at` seconds since 1970.

    All but the count is the same each time, since the API server lets nothing else be changed; `every` is in seconds.
    """
    key = alert.alert
    policy = policy_reference(key.policy, policy_uid)
    regarding = _regarding(alert.subject) or policy
    namespace = regarding.namespace or CLUSTER_NAMESPACE
    place = hashlib.sha256(alert.subject.node.encode()).hexdigest()[:8]
    name = f"virtwatch.{key.id}.{int(alert.since)}.{place}.{alert.severity.lower()}.lasts"
    said = (
        f"{alert.severity}: rule {key.rule} still fires for {_located(alert.subject)}; "
        f"since {time_text(alert.since)}. {key.policy.kind} {key.policy}. This Event's count grows every "
        f"{every / 60:.0f} min while it lasts."
    )
    body: Json = {
        "apiVersion": EVENTS,
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace, "labels": {"virtwatch.io/alert": key.id}},
        "eventTime": format_time(alert.since + every),
        "type": "Warning",
        "reason": f"Alert{alert.severity}",
        "action": "Lasts",
        "note": cut(said, NOTE_BYTES),
        "regarding": regarding.encode(),
        "related": policy.encode(),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
    }
    if count > 1:
        body["series"] = {"count": count, "lastObservedTime": format_time(at)}
    return Announcement(regarding, namespace, name, body, key.id)


def _located(subject: Subject) -> str:
    """Say what an alert is about, and where; a node is where it is."""
    return subject.described if subject.target.kind is TargetKind.NODE else f"{subject.described}{subject.place}"


def note(transition: Transition) -> str:
    """Write the sentence that people read, within the API server's limit."""
    subject, alert = transition.subject, transition.alert
    was = f" (was {transition.previous})" if transition.previous else ""
    head = f"{transition.severity or 'Resolved'}{was}: rule {alert.rule} {_verb(transition)} {_located(subject)}"
    fired = "it fired " if transition.action is Action.RESOLVED else ""
    tail = f"; {fired}since {time_text(transition.since)}. {alert.policy.kind} {alert.policy}."
    if trace := trace_id(transition.traceparent):
        tail += f" Trace {trace}."
    begin = f"{head}: "
    room = NOTE_BYTES - len((begin + tail).encode())
    return cut(f"{begin}{cut(_why(transition), room)}{tail}", NOTE_BYTES)


def _announcement(
    transition: Transition, origin: Origin, *, regarding: ObjectReference, related: ObjectReference | None, role: str
) -> Announcement:
    namespace = regarding.namespace or CLUSTER_NAMESPACE
    name = _name(transition, origin, role)
    metadata: Json = {"name": name, "namespace": namespace, "labels": {"virtwatch.io/alert": transition.alert.id}}
    if trace := trace_id(transition.traceparent):
        metadata["annotations"] = {"virtwatch.io/trace-id": trace}
    worsened = transition.action in (Action.FIRED, Action.ESCALATED)
    body = {
        "apiVersion": EVENTS,
        "kind": "Event",
        "metadata": metadata,
        "eventTime": format_time(transition.at),
        "type": "Warning" if worsened else "Normal",
        "reason": _reason(transition),
        "action": transition.action.value,
        "note": note(transition),
        "regarding": regarding.encode(),
        **({"related": related.encode()} if related else {}),
        "reportingController": CONTROLLER,
        "reportingInstance": origin.instance[:128],
    }
    alert = transition.alert
    if role == ABOUT_TARGET:
        return Announcement(regarding, namespace, name, body, alert.id, alert.id, transition.severity)
    return Announcement(regarding, namespace, name, body, f"{alert.policy.kind} {alert.policy}")


def _name(transition: Transition, origin: Origin, role: str) -> str:
    journal = hashlib.sha256(f"{origin.node}\0{origin.epoch}".encode()).hexdigest()[:12]
    return f"virtwatch.{transition.alert.id}.{journal}.{transition.sequence}.{role}"


def _reason(transition: Transition) -> str:
    match transition.action:
        case Action.EASED:
            return "AlertEased"
        case Action.RESOLVED:
            return "AlertResolved"
        case _:
            return "AlertCritical" if transition.severity is Severity.CRITICAL else "AlertWarning"


def _regarding(subject: Subject) -> ObjectReference | None:
    regarding = TARGET_KINDS[subject.target.kind].regarding(subject)
    return None if regarding is None else ObjectReference(*regarding)


def policy_reference(key: PolicyKey, uid: str) -> ObjectReference:
    """Name a policy as Events do."""
    return ObjectReference(API_VERSION, key.kind.value, key.name, key.namespace, uid)


def _verb(transition: Transition) -> str:
    match transition.action:
        case Action.FIRED:
            return "fires for"
        case Action.RESOLVED:
            return "is over for"
        case _:
            return "still fires for"


def _why(transition: Transition) -> str:
    why = said(transition.evidence)
    if transition.action is not Action.RESOLVED:
        return why
    ended = _ended(transition)
    # What ended it is in the evidence, or else the evidence is from before.
    return f"{ended}, {why}" if transition.reason in _TELLING else f"{ended} (last: {why})"


def _ended(transition: Transition) -> str:
    if transition.reason is Reason.DOMAIN_STOPPED:
        return f"the {TARGET_KINDS[transition.alert.target.kind].gone}"
    return _ENDED.get(transition.reason, transition.reason.value)


def time_text(seconds: float) -> str:
    """Write a time as Events say it, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cut(text: str, room: int) -> str:
    """Shorten a text to so many bytes."""
    data = text.encode()
    if len(data) <= room:
        return text
    return data[: max(room - 3, 0)].decode(errors="ignore") + "…"
