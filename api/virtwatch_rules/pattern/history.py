"""The events that a pattern may still need: in the order of their times, whatever order they came in, and bounded."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

MOST_EVENTS = 1024


class Seen(NamedTuple):
    """Hold one event: when it happened, its type, which steps of a pattern it is, and of which member of a group."""

    at: float
    type: str
    steps: tuple[int, ...] = ()
    member: str = ""
    detail: str = ""  # what tells it from others of the same time
    inferred: bool = False


class History:
    """Keep the events of the last `span` seconds."""

    __slots__ = ("_events", "cut", "span")

    def __init__(self, span: float) -> None:
        self.span = span
        self.cut = 0  # events that were dropped for want of room since the history was last empty
        self._events: list[Seen] = []

    def __iter__(self) -> Iterator[Seen]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Seen, *, at: float) -> bool:
        """Take an event; False for one that came before, or is too old to matter as of `at`."""
        self.forget(at)
        place = bisect_left(self._events, event)
        if event.at <= at - self.span or self._events[place : place + 1] == [event]:
            return False
        self._events.insert(place, event)
        if len(self._events) > MOST_EVENTS:
            del self._events[0]
            self.cut += 1
        return True

    def forget(self, at: float) -> None:
        """Drop what is older than the span as of `at`."""
        edge = at - self.span
        gone = 0
        while gone < len(self._events) and self._events[gone].at <= edge:
            gone += 1
        del self._events[:gone]
        if not self._events:
            self.cut = 0

    def clear(self) -> None:
        """Drop all events."""
        self._events.clear()
        self.cut = 0

    def moved(self, seconds: float) -> None:
        """Follow a clock that was set."""
        self._events = [event._replace(at=event.at + seconds) for event in self._events]

    def document(self) -> dict[str, Any]:
        """Return the events as JSON."""
        return {"events": [[*event[:2], list(event.steps), *event[3:]] for event in self._events], "cut": self.cut}

    def restore(self, saved: Mapping[str, Any]) -> bool:
        """Take back what was saved beside what has come since; False when it cannot be read."""
        try:
            events = [
                Seen(
                    float(at), str(type_), tuple(int(step) for step in steps), str(member), str(detail), bool(inferred)
                )
                for at, type_, steps, member, detail, inferred in saved["events"]
            ]
            cut = int(saved["cut"])
        except (KeyError, TypeError, ValueError):
            return False
        self._events = sorted({*events, *self._events})[-MOST_EVENTS:]
        self.cut += cut
        return True


def _read(at: Any, type_: Any, steps: Any, member: Any, detail: Any, inferred: Any) -> Seen:
    if not math.isfinite(at):
        raise ValueError("a time without place in an order")
    return Seen(float(at), str(type_), tuple(int(step) for step in steps), str(member), str(detail), bool(inferred))
