"""What is reported at once: many targets of one policy on one node at once, and VMs that were evicted there. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from virtwatch_api.alert import Action
from virtwatch_api.nodemonitor import Transition
from virtwatch_api.nodemonitor_codec import format_time
from virtwatch_api.policy import PolicyKey, Severity
from virtwatch_kube.paths import EVENTS
from virtwatch_operator.announce.sinks import News, Origin
from virtwatch_operator.events.bodies import (
    CLUSTER_NAMESPACE,
    CONTROLLER,
    NOTE_BYTES,
    Announcement,
    Json,
    ObjectReference,
    cut,
    policy_reference,
    time_text,
)
from virtwatch_operator.rollup.wording import listed
from virtwatch_rules.event import is_eviction

AT_LEAST = 5  # different targets
_NAMED = 10
# What follows within the same minute is counted by the same Event.
_EPISODE_S = 60
# A node's VMs are evicted one after the other, each with its time to shut down: what follows within the same hour.
_DRAIN_S = 3600
THROUGH = "virtwatch.io/through"


@dataclass(frozen=True, slots=True)
class Storm:
    """Hold transitions of one policy on one node, or over nodes, of one kind and one time, in the journal's order.

    That time is a minute; of VMs that were evicted it is an hour.
    """

    origin: Origin
    transitions: Sequence[Transition]

    @property
    def first(self) -> Transition:
        """Return the first one."""
        return self.transitions[0]

    @property
    def through(self) -> int:
        """Return the last one's sequence."""
        return self.transitions[-1].sequence

    @property
    def severity(self) -> Severity | None:
        """Return the worst severity, None where alerts end."""
        found = [item.severity for item in self.transitions if item.severity is not None]
        return max(found, key=lambda severity: severity.rank, default=None)

    @property
    def evicts(self) -> bool:
        """Return whether it is about VMs that were evicted."""
        return is_eviction(self.first.evidence)

    @property
    def is_one(self) -> bool:
        """Return whether so many targets are concerned, or will be, that they are reported at once."""
        return self.evicts or len({item.alert.target for item in self.transitions}) >= AT_LEAST


def first_of(waiting: Sequence[News]) -> Storm:
    """Return the first news, and what follows it of the same kind within the same time."""
    first = waiting[0].transition
    found: list[Transition] = []
    for news in waiting:
        item = news.transition
        if _kind(item) != _kind(first) or _episode(item) != _episode(first) or item.action is Action.EASED:
            break
        found.append(item)
    return Storm(waiting[0].origin, tuple(found) or (first,))


def storm_name(first: Transition, origin: Origin) -> str:
    """Return the name of the Event that tells a storm about its policy, for any of its transitions."""
    return _name(first, origin, first.alert.policy, "storm")


def about_policy(storm: Storm) -> Announcement:
    """Write the Event that regards the policy, as it begins."""
    first, policy = storm.first, storm.first.alert.policy
    body = _body(
        storm,
        name=storm_name(first, storm.origin),
        regarding=policy_reference(policy, storm.origin.policy_uid),
        related=_node(first.subject.node) if first.subject.node else None,
        note=_policy_note(storm),
        namespace=policy.namespace or CLUSTER_NAMESPACE,
    )
    return counting(body, storm, count=1)


def about_node(storm: Storm) -> Announcement:
    """Write the Event that regards the Node, as it begins: one for all policies. The storm is of one."""
    first = storm.first
    node, policy = first.subject.node, first.alert.policy
    what = f"VMs of node {node} were evicted: alerts {_verb(storm)}" if storm.evicts else _many(storm, node)
    body = _body(
        storm,
        name=_name(first, storm.origin, None, "node-storm"),
        regarding=_node(node),
        related=policy_reference(policy, storm.origin.policy_uid),
        note=(
            f"{what}, first of {policy.kind} {policy}, at {time_text(first.at)}. Events of each policy say which; "
            f"this Event's count says how many. `kubectl describe nodemonitor {node}` shows what fires there."
        ),
        namespace=CLUSTER_NAMESPACE,
    )
    return counting(body, storm, count=1)


def counting(body: Json, storm: Storm, *, count: int) -> Announcement:
    """Write a storm's Event, as it began or as it stands, with what it counts after this part of the storm.

    Nothing else may differ: the API server refuses that.
    """
    metadata = body["metadata"]
    kept = {key: value for key, value in body.items() if key not in _CHANGES}
    kept["metadata"] = {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "annotations": {THROUGH: str(storm.through)},
    }
    if count > 1:
        kept["series"] = {"count": count, "lastObservedTime": format_time(storm.transitions[-1].at)}
    policy, regarding = storm.first.alert.policy, ObjectReference.decode(body["regarding"])
    budget = f"{policy.kind} {policy}"
    # As an alert of its own: the first Critical of a storm is withheld by no budget, nor is its end.
    alert = f"{budget}{storm.first.subject.place}"
    return Announcement(regarding, metadata["namespace"], metadata["name"], kept, budget, alert, storm.severity)


# The rest of an Event that the API server gives back is its own, or stays.
_CHANGES = ("series", "metadata", "deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp")


def _body(
    storm: Storm, *, name: str, regarding: ObjectReference, related: ObjectReference | None, note: str, namespace: str
) -> Json:
    severity = storm.severity
    return {
        "apiVersion": EVENTS,
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "eventTime": format_time(storm.first.at),
        "type": "Warning" if severity is not None else "Normal",
        "reason": f"Alerts{severity}" if severity is not None else "AlertsResolved",
        "action": "Fired" if severity is not None else "Resolved",
        "note": note,
        "regarding": regarding.encode(),
        **({"related": related.encode()} if related is not None else {}),
        "reportingController": CONTROLLER,
        "reportingInstance": storm.origin.instance[:128],
    }


def _policy_note(storm: Storm) -> str:
    first, targets = storm.first, {item.alert.target for item in storm.transitions}
    if storm.evicts:
        about = f"alerts {_verb(storm)} for VMs{first.subject.place} that were evicted, as by a drain, first"
    else:
        about = (
            f"{len(storm.transitions)} alerts {_verb(storm)} at once for {len(targets)} targets{first.subject.place},"
        )
    head = f"{storm.severity or 'Resolved'}: {about} at {time_text(first.at)}: "
    time = "hour" if storm.evicts else "minute"
    tail = f" The policy's status shows the worst; this Event's count says how many there were in this {time}."
    names = listed([item.subject.described + _rule(item) for item in storm.transitions], most=_NAMED)
    return f"{head}{cut(names, NOTE_BYTES - len((head + tail).encode()) - 1)}.{tail}"


def _many(storm: Storm, node: str) -> str:
    return f"Many alerts {_verb(storm)} at once on node {node}"


def _verb(storm: Storm) -> str:
    return "fire" if storm.severity is not None else "end"


def _rule(item: Transition) -> str:
    return f" ({item.alert.rule}{' ' + item.alert.device if item.alert.device else ''})"


def _node(name: str) -> ObjectReference:
    return ObjectReference("v1", "Node", name, uid=name)


def _kind(item: Transition) -> str:
    kind = "ended" if item.action is Action.RESOLVED else "fired"
    return f"evicted-{kind}" if is_eviction(item.evidence) else kind


def _episode(item: Transition) -> int:
    return int(item.at // (_DRAIN_S if is_eviction(item.evidence) else _EPISODE_S))


def _name(first: Transition, origin: Origin, policy: PolicyKey | None, role: str) -> str:
    parts = (origin.node, origin.epoch, *((policy.kind, str(policy)) if policy is not None else ()))
    journal = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return f"virtwatch.{journal}.{_episode(first)}.{_kind(first)}.{role}"
