"""When a channel is due and with what: grouping, repeats, quiet hours, rate limit, back-off. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from virtwatch_api.channel import Channel, ChannelType, QuietHours
from virtwatch_api.policy import Severity
from virtwatch_operator.notify.outbox import HOUR_S, Entry, Outbox
from virtwatch_rules.event import is_eviction

# An Alertmanager forgets an alert that it does not hear of for its resolve_timeout, 5 min by default.
RESEND_S = 60.0
# A node is drained VM after VM: once some were reported, the others wait for each other.
DRAIN_EVERY_S = 300.0
FIRST_RETRY_S = 5.0
MAX_RETRY_S = 900.0


def due(
    outbox: Outbox,
    channel: Channel,
    *,
    now: float,
    silenced: Callable[[Entry], bool] = lambda _: False,
    unknown: Callable[[Entry], bool] = lambda _: False,
) -> Sequence[Entry]:
    """Return what is to be sent now in one message, worst first; nothing while the channel has to wait.

    `silenced` is asked only about what would be sent. Of what is `unknown` nobody is notified again that it fires.
    """
    if now < outbox.retry.at:
        return ()
    if channel.type is ChannelType.ALERTMANAGER:
        return _for_alertmanager(outbox, now=now, silenced=silenced)
    recent = [at for at in outbox.sent if now - at < HOUR_S]
    if len(recent) >= channel.max_per_hour:
        return ()
    waiting = [item for item in outbox.waiting if notified_of(item, channel)]
    repeats = [item for item in outbox.alerts.values() if item.repeats(now) and not unknown(item)]
    found = [item for item in (*waiting, *repeats) if _may_speak(item, channel.quiet_hours, now=now)]
    drained = _drained(outbox)
    if not found or (not repeats and now < min(_due_at(item, channel, drained) for item in found)):
        return ()
    return worst_first(item for item in found if not silenced(item))


def worst_first(entries: Iterable[Entry]) -> Sequence[Entry]:
    """Order alerts for a message: what fires before what is over, critical before warning, older before newer."""
    return sorted(entries, key=lambda item: (not item.firing, -item.worst.rank, item.transition.since))


def notified_of(entry: Entry, channel: Channel) -> bool:
    """Return whether a channel wants to hear of an alert's news: of an end only where ends are sent to it."""
    return entry.firing or channel.send_resolved or entry.notified is None


def unwanted(outbox: Outbox, channel: Channel) -> Sequence[Entry]:
    """Return alerts that are over and of which the channel does not want to hear that."""
    return [item for item in outbox.waiting if not notified_of(item, channel)]


def retry_delay(attempts: int) -> float:
    """Return the seconds to wait after the n-th failed attempt in a row: 5 s, doubled each time, 15 min at most."""
    return min(FIRST_RETRY_S * 2.0 ** min(attempts - 1, 16), MAX_RETRY_S)


def quiet(hours: QuietHours, *, now: float) -> bool:
    """Return whether it is quiet at a time; in a time zone that nobody knows, UTC's clock counts."""
    try:
        zone = ZoneInfo(hours.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = ZoneInfo("UTC")
    local = datetime.fromtimestamp(now, UTC).astimezone(zone)
    minute = local.hour * 60 + local.minute
    if hours.start < hours.end:
        return hours.start <= minute < hours.end
    return minute >= hours.start or minute < hours.end


def _drained(outbox: Outbox) -> Mapping[tuple[str, Severity], float]:
    """Return when the channel was notified last that VMs of a node were evicted, by severity; repeats do not count."""
    found: dict[tuple[str, Severity], float] = {}
    for item in outbox.alerts.values():
        notified = item.notified
        if notified is None or not is_eviction(item.transition.evidence):
            continue
        if notified.at - item.queued >= item.repeat_every:
            continue  # a repeat: that drain is long over
        key = item.transition.subject.node, notified.severity
        found[key] = max(found.get(key, 0.0), notified.at)
    return found


def _due_at(entry: Entry, channel: Channel, drained: Mapping[tuple[str, Severity], float]) -> float:
    """Return when an alert is due: of a drain, it waits behind a message that was as severe."""
    ready, here = entry.queued + channel.group_wait, entry.transition.subject.node
    if not is_eviction(entry.transition.evidence):
        return ready
    earlier = [at for (node, severity), at in drained.items() if node == here and severity.rank >= entry.worst.rank]
    return max(ready, max(earlier) + DRAIN_EVERY_S) if earlier else ready


def _for_alertmanager(outbox: Outbox, *, now: float, silenced: Callable[[Entry], bool]) -> Sequence[Entry]:
    entries = list(outbox.alerts.values())
    if not _to_be_sent(entries, now=now):
        return ()  # nothing is looked up for nothing
    audible = [item for item in entries if not silenced(item)]
    return audible if _to_be_sent(audible, now=now) else ()


def _to_be_sent(entries: Sequence[Entry], *, now: float) -> bool:
    notified = [item.notified.at for item in entries if item.notified is not None and item.firing]
    return any(item.waiting for item in entries) or (bool(notified) and now - min(notified) >= RESEND_S)


def _may_speak(entry: Entry, hours: QuietHours | None, *, now: float) -> bool:
    return hours is None or entry.worst in hours.except_ or not quiet(hours, now=now)
