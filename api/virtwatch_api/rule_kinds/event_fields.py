"""What rules on events share: types of events and `where`; how each is read and written."""

from collections.abc import Sequence

from virtwatch_api.catalogue.entries import EventType, TargetKind
from virtwatch_api.catalogue.events import EVENT, EVENTS
from virtwatch_api.names import did_you_mean, shown
from virtwatch_api.policy import EventMatch
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.kind import MAX_PARTS, Json, Scope


def events_of(targets: Sequence[TargetKind]) -> list[EventType]:
    """List the events that policies on kinds of target see."""
    return [item for item in EVENTS if any(target in targets for target in item.targets)]


def read_event_type(cursor: Cursor, scope: Scope) -> str:
    """Read the name of an event that the scope's target sees."""
    name = cursor.text()
    if name and name not in EVENT:
        guess = did_you_mean(name, (item.name for item in events_of((scope.target,))))
        cursor.problem(f'unknown event "{shown(name)}"{guess or "; `virtwatch events` lists them"}')
    elif name and scope.target not in EVENT[name].targets:
        cursor.problem(
            f'event "{name}" belongs to a {EVENT[name].targets[0]}, the policy\'s target is a {scope.target}'
        )
    return name


def read_event(cursor: Cursor, scope: Scope) -> EventMatch:
    """Read type and where."""
    name = read_event_type(cursor["type"], scope)
    return EventMatch(name, read_attributes(cursor["where"], name))


def read_attributes(cursor: Cursor, event: str) -> tuple[tuple[str, str], ...]:
    """Read attributes that events of a type have, with values that they can have there."""
    found = tuple(
        (key, _value(item, event, key)) for key, item in cursor.entries(at_most=MAX_PARTS, what="attributes to values")
    )
    known = EVENT[event].attributes if event in EVENT else ()
    for key, _ in found:
        if event in EVENT and key not in known:
            has = ", ".join(known) or "none"
            cursor.problem(f'{event} has no attribute "{shown(key)}"; it has {has}{did_you_mean(key, known)}')
    return found


def _value(cursor: Cursor, event: str, attribute: str) -> str:
    value = cursor.text()
    known = EVENT[event].values(attribute) if event in EVENT else ()
    if value and known and value not in known:
        guess = did_you_mean(value, known)
        cursor.problem(f'{event} never has {attribute} "{shown(value)}"; it is one of {", ".join(known)}{guess}')
    return value


def write_event(event: EventMatch) -> Json:
    """Write type and where."""
    return {"type": event.type, **({"where": dict(event.where)} if event.where else {})}
