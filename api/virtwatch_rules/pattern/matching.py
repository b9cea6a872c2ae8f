"""Whether a history holds a pattern now, and until when that can last: pure functions of events and a time."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from virtwatch_api.policy import Absent, CountPattern, SequencePattern
from virtwatch_rules.pattern.history import History, Seen

NEVER = float("inf")
# For how long an alert about what did not come lasts when it never comes.
ABSENT_LASTS_S = 86400.0


class Match(NamedTuple):
    """Say that a pattern holds: since when, until when if nothing more comes, and the events that make it."""

    since: float
    until: float
    events: tuple[Seen, ...]


class Looked(NamedTuple):
    """Say what holds now, and when to look again though nothing came."""

    match: Match | None
    again: float


def look_count(pattern: CountPattern, history: History, at: float) -> Looked:
    """Find enough events within the time; the match lasts until `within` has passed since the last event of one."""
    seen = list(history)
    newest = _last_enough(pattern, seen)
    if newest is None:
        return Looked(None, NEVER)
    until = newest[-1].at + pattern.within
    return Looked(Match(newest[-1].at, until, newest), until) if at < until else Looked(None, NEVER)


def _last_enough(pattern: CountPattern, seen: Sequence[Seen]) -> tuple[Seen, ...] | None:
    """Return the newest events that are enough, oldest first; of each member only its newest where members count."""
    newest: tuple[int, int] | None = None
    inside: dict[object, int] = {}
    begin = 0
    for end, event in enumerate(seen):
        key = event.member if pattern.distinct else end
        inside[key] = inside.get(key, 0) + 1
        while seen[begin].at <= event.at - pattern.within:
            gone = seen[begin].member if pattern.distinct else begin
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            begin += 1
        if len(inside) >= pattern.at_least:
            newest = begin, end + 1
    if newest is None:
        return None
    enough = seen[newest[0] : newest[1]]
    return tuple({event.member: event for event in enough}.values() if pattern.distinct else enough)


def look_sequence(pattern: SequencePattern, history: History, at: float) -> Looked:
    """Find the steps in order; one that ends in absence holds once the time is over and nothing came."""
    again, found = NEVER, None
    for match in _runs(pattern, list(history)):
        if match.since > at:
            again = min(again, match.since)  # it is waited for what must not come
        elif at < match.until and (found is None or match.since >= found.since):
            found = match
    return Looked(found, min(again, found.until if found else NEVER))


def _runs(pattern: SequencePattern, seen: Sequence[Seen]) -> Iterator[Match]:
    for index, first in enumerate(seen):
        if 0 in first.steps and (match := _run(pattern, first, seen[index + 1 :])) is not None:
            yield match


def _run(pattern: SequencePattern, first: Seen, later: Sequence[Seen]) -> Match | None:
    """Follow one beginning to its end; None when it broke, or may still be completed by an event."""
    deadline = first.at + pattern.within
    steps, taken, step = pattern.steps, [first], 1
    for event in later:
        if event.at > deadline and not isinstance(steps[-1], Absent):
            return None
        awaited = steps[step]
        if isinstance(awaited, Absent):
            if event.type in awaited.types:
                return None  # also after the deadline: what was missing has come
            if event.at > deadline or step + 1 == len(steps) or step + 1 not in event.steps:
                continue
            step += 2
        elif event.at <= deadline and step in event.steps:
            step += 1
        else:
            continue
        taken.append(event)
        if step == len(steps):
            return Match(event.at, event.at + pattern.within, tuple(taken))
    if step + 1 == len(steps) and isinstance(steps[step], Absent):
        return Match(deadline, deadline + ABSENT_LASTS_S, tuple(taken))
    return None
