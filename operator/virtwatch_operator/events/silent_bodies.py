"""The Events of a node that falls silent, or reports again: one about the Node, one about each policy. Pure."""

import hashlib
from dataclasses import replace

from virtwatch_api.alert import Action
from virtwatch_api.nodemonitor import Transition
from virtwatch_operator.announce.sinks import Origin
from virtwatch_operator.events.bodies import CLUSTER_NAMESPACE, NOTE_BYTES, Announcement, announcements, cut, time_text


def silent_announcements(transition: Transition, origin: Origin) -> tuple[Announcement, Announcement]:
    """Write both; the one about the Node has the same name for all policies, so that it is created once."""
    about_node, about_policy = announcements(transition, origin)
    node, begins = transition.subject.node, transition.action is not Action.RESOLVED
    place = hashlib.sha256(node.encode()).hexdigest()[:16]
    name = f"virtwatch.{place}.{transition.sequence}.{origin.epoch}"
    said = f"Node {node} {'is silent since' if begins else 'reports again; it was silent since'}"
    head = f"{said} {time_text(transition.since)}"
    more = ": kubectl describe nodemonitor {0}. Events and status of its policies say which alerts are unknown."
    body = {
        **about_node.body,
        "metadata": {"name": name, "namespace": CLUSTER_NAMESPACE},
        "reason": _reason(begins=begins),
        "note": head + (more.format(node) if begins else "."),
    }
    del body["related"]  # it is about all policies
    note = f"{head}: {transition.evidence.text}." if begins else f"{head}."
    about = {**about_policy.body, "reason": _reason(begins=begins), "note": cut(note, NOTE_BYTES)}
    return (
        Announcement(about_node.regarding, CLUSTER_NAMESPACE, name, body, f"Node {node} silent"),
        replace(about_policy, body=about, alert=transition.alert.id, severity=transition.severity),
    )


def _reason(*, begins: bool) -> str:
    return "NodeSilent" if begins else "NodeReports"
