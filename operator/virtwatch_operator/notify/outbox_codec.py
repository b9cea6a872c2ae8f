"""An outbox as a document, so that a new leader continues where the last one ended."""

from collections.abc import Iterable
from typing import Any

from virtwatch_api.nodemonitor_codec import decode_transition, encode_transition
from virtwatch_api.policy import Severity
from virtwatch_operator.notify.outbox import Entry, Merged, Notified, Outbox, Retry, RuleWords

Json = dict[str, Any]

VERSION = 1


def encode(outbox: Outbox) -> Json:
    """Write an outbox."""
    return {
        "version": VERSION,
        "alerts": [_entry(item) for item in outbox.alerts.values()],
        "taken": list(outbox.taken),
        "merged": {"count": outbox.merged.count, "since": outbox.merged.since},
        "retry": {"attempts": outbox.retry.attempts, "at": outbox.retry.at},
        "sent": list(outbox.sent),
        "hushed": outbox.hushed,
    }


def decode(document: Any) -> Outbox:
    """Read an outbox.

    Raises:
        ValueError: it is none, or of a version that this operator does not know.
    """
    try:
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']!r} is not {VERSION}")
        entries = [_read_entry(item) for item in document["alerts"]]
        return Outbox(
            alerts={item.transition.alert.id: item for item in entries},
            taken=tuple(str(item) for item in document["taken"]),
            merged=Merged(int(document["merged"]["count"]), float(document["merged"]["since"])),
            retry=Retry(int(document["retry"]["attempts"]), float(document["retry"]["at"])),
            sent=_times(document["sent"]),
            hushed=int(document.get("hushed", 0)),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _times(items: Iterable[Any]) -> tuple[float, ...]:
    return tuple(float(item) for item in items)


def _entry(item: Entry) -> Json:
    notified = item.notified
    return {
        "transition": encode_transition(item.transition),
        "worst": item.worst.value,
        "repeatEvery": item.repeat_every,
        "queued": item.queued,
        "changes": item.changes,
        "words": {"summary": item.words.summary, "runbook": item.words.runbook, "labels": dict(item.words.labels)},
        **(
            {"told": {"severity": notified.severity.value, "at": notified.at, "labels": dict(notified.labels)}}
            if notified is not None
            else {}
        ),
    }


def _read_words(document: Json) -> RuleWords:
    return RuleWords(
        str(document.get("summary", "")), str(document.get("runbook", "")), dict(document.get("labels") or {})
    )


def _read_entry(document: Json) -> Entry:
    notified = document.get("told")
    return Entry(
        transition=decode_transition(document["transition"]),
        worst=Severity(document["worst"]),
        repeat_every=float(document["repeatEvery"]),
        queued=float(document["queued"]),
        changes=int(document["changes"]),
        words=_read_words(document.get("words") or {}),
        notified=Notified(Severity(notified["severity"]), float(notified["at"]), notified["labels"])
        if notified
        else None,
    )
