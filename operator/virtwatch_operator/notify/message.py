"""What people read in a message: subject, what, since, value, bound, where, why, how to silence. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from virtwatch_api.alert import Reason
from virtwatch_api.channel import Channel, ChannelType
from virtwatch_api.policy import Severity
from virtwatch_api.targets import TARGET_KINDS, Subject, TargetRef
from virtwatch_operator.figures import said
from virtwatch_operator.notify.outbox import Entry, Outbox
from virtwatch_operator.tracing import trace_id
from virtwatch_rules.event import is_eviction

MAX_LISTED = 20
_BRIEF_LISTED = 3
_BRIEF = (ChannelType.SMS, ChannelType.PHONE)
TEST_TITLE = "[Test] virtwatch can reach this channel"


@dataclass(frozen=True, slots=True)
class Message:
    """Hold one message; `severity` is the worst that it reports as firing, None where all is over."""

    title: str
    body: str
    severity: Severity | None


def write(entries: Sequence[Entry], outbox: Outbox, channel: Channel, *, now: float, trace_url: str = "") -> Message:
    """Write one message about some alerts of an outbox, worst first; `trace_url` may hold {trace}."""
    firing = [item for item in entries if item.firing]
    over = [item for item in entries if not item.firing]
    brief = channel.type in _BRIEF
    title = _title(entries, firing, over)
    listed = entries[: _BRIEF_LISTED if brief else MAX_LISTED]
    parts = [summary(item) if brief else _paragraph(item, now=now, trace_url=trace_url) for item in listed]
    left_out = len(entries) - len(listed)
    if left_out:
        parts.append(f"And {left_out} more; `kubectl get monitorpolicies -A` shows what fires.")
    if (merged := outbox.merged).count:
        parts.append(f"And {merged.count} more since {clock(merged.since)} for which there was no room.")
    if outbox.hushed:
        parts.append(f"And {outbox.hushed} that came and went while they were silenced.")
    if brief and len(entries) == 1:
        parts[0] = entries[0].words.summary or _why(entries[0])
    alerts = ("\n" if brief else "\n\n").join(parts)
    severity = max((item.transition.severity for item in firing if item.transition.severity), key=_rank, default=None)
    words = {
        "title": title,
        "alerts": alerts,
        "firing": str(len(firing)),
        "resolved": str(len(over)),
        "channel": channel.key.name,
        "namespace": channel.key.namespace,
    }
    wording = channel.wording
    return Message(
        title=_fill(wording.title, words) if wording.title else title,
        body=_fill(wording.body, words) if wording.body else alerts,
        severity=severity,
    )


def test_message(channel: Channel) -> Message:
    """Write the message that a test sends."""
    body = (
        f"Somebody asked for a test of NotificationChannel {channel.key}. Alerts of the policies that name it in "
        "spec.notify come here. Nothing is wrong, and there is nothing to do."
    )
    return Message(TEST_TITLE, body, None)


def where(subject: Subject) -> str:
    """Name what an alert is about."""
    return subject.described


def rfc3339(seconds: float) -> str:
    """Write a time as the API does, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock(seconds: float) -> str:
    """Write a time in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _title(entries: Sequence[Entry], firing: Sequence[Entry], over: Sequence[Entry]) -> str:
    if len(entries) == 1:
        return f"[{_state(entries[0])}] {_what(entries[0])}"
    counts = [
        f"{len(found)} {word}"
        for word, found in (
            ("critical", [item for item in firing if item.transition.severity is Severity.CRITICAL]),
            ("warning", [item for item in firing if item.transition.severity is Severity.WARNING]),
            ("resolved", over),
        )
        if found
    ]
    return f"[{', '.join(counts)}] {_common(entries)}"


def _common(entries: Sequence[Entry]) -> str:
    """Say what alerts have in common: a rule, a node, or nothing but that they are alerts."""
    nodes = {item.transition.subject.node for item in entries}
    rules = {item.transition.alert.rule for item in entries}
    policies = {item.transition.alert.policy for item in entries}
    targets = {item.transition.alert.target for item in entries}
    rule = f"{next(iter(rules))} " if len(rules) == 1 and len(policies) == 1 else ""
    vms = _several(targets) if len(targets) > 1 else where(entries[0].transition.subject)
    place = entries[0].transition.subject.place if len(nodes) == 1 else f" on {len(nodes)} nodes"
    evicted = ", evicted as by a drain" if all(is_eviction(item.transition.evidence) for item in entries) else ""
    return f"{rule}{'for' if rule else 'alerts of'} {vms}{place}{evicted}"


def _several(targets: Collection[TargetRef]) -> str:
    nouns = {TARGET_KINDS[item.kind].noun for item in targets}
    return f"{len(targets)} {nouns.pop() if len(nouns) == 1 else 'target'}s"


def _state(item: Entry) -> str:
    return item.transition.severity.value if item.transition.severity is not None else "Resolved"


def _what(item: Entry) -> str:
    device = f" {item.transition.alert.device}" if item.transition.alert.device else ""
    return f"{item.transition.alert.rule}: {where(item.transition.subject)}{device}"


def summary(item: Entry) -> str:
    """Write one line about one alert."""
    return f"{_state(item)}: {_what(item)}"


def _paragraph(item: Entry, *, now: float, trace_url: str) -> str:
    transition, alert = item.transition, item.transition.alert
    subject = transition.subject
    lines = [f"{_state(item)}: {alert.rule} {_verb(item)} {where(subject)}"]
    facts = {
        "Summary": item.words.summary,
        "What": _why(item),
        "Since": f"{clock(transition.since)} ({_lasted((now if item.firing else transition.at) - transition.since)})",
        "Until": "" if item.firing else clock(transition.at),
        "Device": alert.device,
        "Where": ", ".join(
            f"{what} {name}" for what, name in (("node", subject.node), ("namespace", subject.namespace)) if name
        ),
        "Policy": f"{alert.policy.kind} {alert.policy}",
        "Runbook": item.words.runbook,
        "Trace": _trace(transition.traceparent, trace_url),
        "Silence": _silence(subject) if item.firing else "",
    }
    lines += [f"  {name}: {text}" for name, text in facts.items() if text]
    return "\n".join(lines)


def _silence(subject: Subject) -> str:
    """Say how to silence what an alert is about; a plain VM by its node."""
    if subject.namespace and subject.name:
        return f"virtwatch silence vm/{subject.name} 2h -n {subject.namespace}"
    if not subject.node:
        return f"virtwatch silence namespace/{subject.label} 2h"
    return f"virtwatch silence node/{subject.node} 2h"


def _verb(item: Entry) -> str:
    if not item.firing:
        return f"is over for (it was {item.worst})" if item.notified is None else "is over for"
    if item.notified is None:
        return "fires for"
    if not item.waiting:
        return "still fires for"
    before, now = item.notified.severity, item.transition.severity
    return f"still fires for (it was {before})" if before is not now else "still fires for"


def _why(item: Entry) -> str:
    why = said(item.transition.evidence)
    if item.firing or item.transition.reason is Reason.RECOVERED:
        return why
    return f"{why} (ended: {item.transition.reason})"


def _trace(traceparent: str, url: str) -> str:
    trace = trace_id(traceparent)
    return url.replace("{trace}", trace) if trace and url else trace


def _lasted(seconds: float) -> str:
    minutes = max(int(seconds), 0) // 60
    if minutes < 1:
        return f"{max(int(seconds), 0)} s"
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def _fill(text: str, words: dict[str, str]) -> str:
    # One pass, so that a word that holds braces is not filled in again.
    parts: list[str] = []
    for piece in text.split("{"):
        name, closed, rest = piece.partition("}")
        known = closed and name in words and parts
        parts.append(words[name] + rest if known else ("{" + piece if parts else piece))
    return "".join(parts)


def _rank(severity: Severity) -> int:
    return severity.rank
