"""The kind of rule `pattern`: so many events within a time, or events in an order, or one that does not come."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from virtwatch_api.alert import Change, Reason
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import Absent, CountBy, CountPattern, EventMatch, PatternRule
from virtwatch_rules.alerts import AT_ONCE, OUTLIVES, Alert, Document, Said
from virtwatch_rules.engine import NEVER, Judge, OneByOne
from virtwatch_rules.event import matches
from virtwatch_rules.inputs import Event, Wants
from virtwatch_rules.pattern.history import History, Seen
from virtwatch_rules.pattern.matching import ABSENT_LASTS_S, Looked, Match, look_count, look_sequence
from virtwatch_rules.pattern.wording import awaits, describe

VERSION = 1


class PatternEngine(OneByOne):
    """Judge pattern rules."""

    body = PatternRule

    def wants(self, body: PatternRule, *, interval: float) -> Wants:  # noqa: ARG002
        """Ask for the events of the pattern; one that joins several targets is judged where all of them are known."""
        pattern = body.pattern
        if isinstance(pattern, CountPattern):
            types = frozenset({pattern.event.type})
            return Wants(events=types) if pattern.by is CountBy.VIRTUAL_MACHINE else Wants(counted=types)
        return Wants(events=frozenset(name for step in pattern.steps for name in _types(step)))

    def open(self, body: PatternRule, wants: Wants, *, at: float) -> "PatternJudge":  # noqa: ARG002
        """Begin to judge a rule."""
        return PatternJudge(body, wants)


class PatternJudge(Judge):
    """Judge one pattern over the events that it is given: those of one target, or of all members of a group."""

    save_within = 5.0  # an event comes once

    def __init__(self, body: PatternRule, wants: Wants) -> None:
        super().__init__(wants)
        self.body = body
        self.history = History(_span(body))

    def renew(self, body: Any, wants: Wants) -> bool:
        """Go on with the events that came when the pattern asks for the same ones."""
        if not isinstance(body, PatternRule) or asks(body) != asks(self.body):
            return False
        self.body, self.wants = body, wants
        self.history.span = _span(body)
        self.tick_at = -NEVER
        return True

    def event(self, event: Event, *, absent: bool) -> Iterator[Said]:  # noqa: ARG002
        """Judge with one more event."""
        yield from self.take(event)

    def take(self, event: Event, *, member: str = "", name: str = "") -> Iterator[Said]:
        """Judge with an event of a member of the group; `name` is what people call it."""
        seen = _seen(self.body, event, member=name or member)
        if seen is None:
            return
        newest = max((item.at for item in self.history), default=seen.at)
        at = max(newest, seen.at)  # an event that comes late is judged as of the newest
        if self.history.add(seen, at=at):
            yield from self._judge(at)

    def tick(self, *, at: float) -> Iterable[Said]:
        """Judge what does not come, and end what is over."""
        self.history.forget(at)
        yield from self._judge(at)

    def vanish(self, *, at: float) -> Iterator[Said]:  # noqa: ARG002
        """Let alerts stay: what happened, happened, and a target that crashes again and again is gone in between."""
        yield from ()

    def leave(self, *, at: float) -> None:
        """Forget the events: what was learned has gone along."""
        super().leave(at=at)
        self.history.clear()
        self.tick_at = NEVER

    def gone(self, device: str, *, at: float) -> Iterator[Said]:  # noqa: ARG002 - the alert is of the target
        """Keep the alert."""
        yield from ()

    def evidence(self, alert: Alert, change: Change | None = None) -> Evidence:  # noqa: ARG002
        """Return the events that make the pattern, as last judged."""
        return alert.evidence

    def next_step(self, alert: Alert, *, at: float) -> str:
        """Say what ends the alert, or what is missing to fire."""
        return awaits(self.body, self.history, at=at, firing=alert.state.firing)

    def save(self) -> Document | None:
        """Return the events that are still needed."""
        return {"version": VERSION, **self.history.document()}

    def parts(self) -> Iterator[Document]:
        """Yield the events, if there are any, to go along with a target that moves."""
        if len(self.history):
            yield {"version": VERSION, **self.history.document()}

    def restore(self, document: Document) -> None:
        """Take back the events; what cannot be read is left."""
        if document.get("version") == VERSION and self.history.restore(document):
            self.tick_at = -NEVER

    def clock_set(self, seconds: float) -> None:
        """Let timers continue though the clock was set."""
        super().clock_set(seconds)
        self.history.moved(seconds)

    def _judge(self, at: float) -> Iterator[Said]:
        match, again = self._look(at)
        alert = self.alerts.get("")
        if match is not None:
            alert = self.open_alert()
            alert.memory = {"version": VERSION, OUTLIVES: True, "until": match.until}
            alert.evidence = _evidence(self.body, match, self.history)
            change = alert.judge(self.body.severity, timing=AT_ONCE, at=at, reason=Reason.EVENT)
            if change is not None:
                yield self.say(alert, change)
        elif alert is not None and (again := self._recalled_until(alert, at)) <= at:
            change = alert.end(self._why_over(), at=at)
            self.drop_alert()
            if change is not None:
                yield self.say(alert, change)
        self.tick_at = min(again, self._first_forgotten())

    def _look(self, at: float) -> Looked:
        pattern = self.body.pattern
        if isinstance(pattern, CountPattern):
            return look_count(pattern, self.history, at)
        return look_sequence(pattern, self.history, at)

    def _recalled_until(self, alert: Alert, at: float) -> float:
        """Return until when an alert lasts whose events are not here: it came without them from another place."""
        until = alert.memory.get("until")
        return until if isinstance(until, float) and not len(self.history) else at

    def _why_over(self) -> Reason:
        pattern = self.body.pattern
        ends = not isinstance(pattern, CountPattern) and isinstance(pattern.steps[-1], Absent)
        return Reason.EVENT_CLEARED if ends and len(self.history) else Reason.EXPIRED

    def _first_forgotten(self) -> float:
        first = next(iter(self.history), None)
        return NEVER if first is None else first.at + self.history.span


def _evidence(body: PatternRule, match: Match, history: History) -> Evidence:
    pattern = body.pattern
    text = describe(body, match, cut=history.cut)
    if isinstance(pattern, CountPattern):
        return Evidence(pattern.event.type, text=text, count=len(match.events))
    return Evidence(match.events[-1].type, text=text)


def _span(body: PatternRule) -> float:
    pattern = body.pattern
    if isinstance(pattern, CountPattern):
        return 2 * pattern.within  # the first of enough events counts until the alert of the last is over
    return pattern.within + (ABSENT_LASTS_S if isinstance(pattern.steps[-1], Absent) else pattern.within)


def _types(step: EventMatch | Absent) -> Sequence[str]:
    return step.types if isinstance(step, Absent) else (step.type,)


def asks(body: PatternRule) -> object:
    """Return what makes a pattern the same one: the events, not their number or time."""
    pattern = body.pattern
    if isinstance(pattern, CountPattern):
        return (pattern.event, pattern.by, pattern.distinct)
    return pattern.steps


def _seen(body: PatternRule, event: Event, *, member: str) -> Seen | None:
    pattern = body.pattern
    detail = ",".join(f"{key}={value}" for key, value in sorted(event.attributes.items()) if value)
    if isinstance(pattern, CountPattern):
        steps: tuple[int, ...] = (0,) if matches(pattern.event, event) else ()
        if not steps:
            return None
    else:
        steps = tuple(
            index for index, step in enumerate(pattern.steps) if isinstance(step, EventMatch) and matches(step, event)
        )
        if not steps and not any(isinstance(step, Absent) and event.type in step.types for step in pattern.steps):
            return None
    return Seen(event.at, event.type, steps, member, detail, event.inferred)
