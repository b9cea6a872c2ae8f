"""What was sent to one channel and what is still to be sent: one level by alert. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from virtwatch_api.nodemonitor import Transition
from virtwatch_api.policy import Notify, Severity

MAX_ALERTS = 256
# Transitions that a new leader may hand in again: those that no leader had acknowledged.
MAX_TAKEN = 1024
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Notified:
    """Say with which severity an alert was sent, when (seconds since 1970) and with which labels to Alertmanager."""

    severity: Severity
    at: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleWords:
    """Hold what a rule's author wants said: a sentence, where to read on, labels for routing."""

    summary: str = ""
    runbook: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one alert of a channel.

    `transition` is the newest; `worst` the worst severity since the channel was sent last; `changes` counts what
    was not sent to it yet, the first of which came at `queued`.
    """

    transition: Transition
    worst: Severity
    repeat_every: float
    queued: float
    changes: int = 1
    notified: Notified | None = None
    words: RuleWords = RuleWords()

    @property
    def firing(self) -> bool:
        """Return whether the alert fires."""
        return self.transition.severity is not None

    @property
    def waiting(self) -> bool:
        """Return whether there is news."""
        return self.changes > 0

    def repeats(self, now: float) -> bool:
        """Return whether it is time to say again that the alert fires."""
        notified = self.notified
        return self.firing and not self.waiting and notified is not None and now - notified.at >= self.repeat_every


@dataclass(frozen=True, slots=True)
class Merged:
    """Count alerts that found no room; the first of them came at `since`."""

    count: int = 0
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Say how often the waiting message was tried, and when it is tried again."""

    attempts: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Outbox:
    """Hold one channel's outbox; `sent` are the times of the last hour's messages, newest last.

    `hushed` counts alerts that came and went while they were silenced, since the last message.
    """

    alerts: Mapping[str, Entry] = field(default_factory=dict)
    taken: tuple[str, ...] = ()
    merged: Merged = Merged()
    retry: Retry = Retry()
    sent: tuple[float, ...] = ()
    hushed: int = 0

    @property
    def waiting(self) -> Sequence[Entry]:
        """Return the alerts with news, oldest news first."""
        return sorted((item for item in self.alerts.values() if item.waiting), key=lambda item: item.queued)

    @property
    def firing(self) -> int:
        """Count the alerts that fire."""
        return sum(item.firing for item in self.alerts.values())


def take(
    outbox: Outbox,
    transition: Transition,
    route: Notify | None,
    *,
    id_: str,
    now: float,
    words: RuleWords | None = None,
) -> Outbox:
    """Note a transition; `id_` names it and no other, `route` is None where the policy names the channel no more.

    `words` are those of its rule, None where that is not known any more.
    """
    if id_ in outbox.taken:
        return outbox
    key = transition.alert.id
    before = outbox.alerts.get(key)
    entry = _changed(before, transition, route, now=now)
    alerts = dict(outbox.alerts)
    if entry is not None:
        alerts[key] = replace(entry, words=words) if words is not None else entry
    noted = replace(outbox, alerts=alerts, taken=(*outbox.taken, id_)[-MAX_TAKEN:])
    return _bounded(noted)


def _changed(before: Entry | None, transition: Transition, route: Notify | None, *, now: float) -> Entry | None:
    severity = transition.severity
    wanted = route is not None and severity in route.severities
    if before is None:
        if severity is None or route is None or not wanted:
            return None
        return Entry(transition, severity, route.repeat_every, now)
    worst = max(before.worst if before.waiting else (severity or before.worst), severity or before.worst, key=_rank)
    repeat = route.repeat_every if route is not None else before.repeat_every
    queued = before.queued if before.waiting else now
    return replace(
        before, transition=transition, worst=worst, repeat_every=repeat, queued=queued, changes=before.changes + 1
    )


def sent(
    outbox: Outbox, batch: Iterable[Entry], merged: Merged, *, now: float, labels: Mapping[str, Mapping[str, str]]
) -> Outbox:
    """Note that a batch was delivered; what changed meanwhile waits on. `labels` are those that were sent, by alert."""
    alerts = dict(outbox.alerts)
    for item in batch:
        key = item.transition.alert.id
        entry = alerts.get(key)
        if entry is None:
            continue
        notified = Notified(item.transition.severity or item.worst, now, labels.get(key, {}))
        if entry.changes > item.changes or entry.transition != item.transition:
            alerts[key] = replace(entry, changes=max(entry.changes - item.changes, 1), notified=notified, queued=now)
        elif entry.firing:
            alerts[key] = replace(entry, changes=0, notified=notified, worst=notified.severity)
        else:
            del alerts[key]
    recent = tuple(at for at in outbox.sent if now - at < HOUR_S)
    more = outbox.merged.count - merged.count
    left = Merged(more, now) if more > 0 else Merged()
    return replace(outbox, alerts=alerts, merged=left, retry=Retry(), sent=(*recent, now), hushed=0)


def drop(outbox: Outbox, entries: Iterable[Entry]) -> Outbox:
    """Forget alerts that nobody wants to hear of: they are over, and ends are not sent to the channel."""
    gone = {item.transition.alert.id for item in entries}
    return replace(outbox, alerts={key: item for key, item in outbox.alerts.items() if key not in gone})


def hush(outbox: Outbox, entries: Iterable[Entry]) -> Outbox:
    """Forget alerts that came and went while they were silenced, and count them."""
    gone = {item.transition.alert.id for item in entries} & outbox.alerts.keys()
    alerts = {key: item for key, item in outbox.alerts.items() if key not in gone}
    return replace(outbox, alerts=alerts, hushed=outbox.hushed + len(gone))


def failed(outbox: Outbox, *, at: float) -> Outbox:
    """Note a failed attempt; the next one is due `at`."""
    return replace(outbox, retry=Retry(outbox.retry.attempts + 1, at))


def hurried(outbox: Outbox) -> Outbox:
    """Make what failed due now: its cause may be gone."""
    return replace(outbox, retry=replace(outbox.retry, at=0.0))


def _bounded(outbox: Outbox) -> Outbox:
    """Merge the oldest into a count where there are too many; what is over goes before what fires."""
    excess = len(outbox.alerts) - MAX_ALERTS
    if excess <= 0:
        return outbox
    oldest = sorted(outbox.alerts.items(), key=lambda item: (item[1].firing, item[1].queued))[:excess]
    alerts = dict(outbox.alerts)
    for key, _ in oldest:
        del alerts[key]
    since = outbox.merged.since or min(item.queued for _, item in oldest)
    return replace(outbox, alerts=alerts, merged=Merged(outbox.merged.count + excess, since))


def _rank(severity: Severity) -> int:
    return severity.rank
