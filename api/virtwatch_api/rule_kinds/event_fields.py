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
    where = cursor["where"]
    found = tuple(
        (key, _value(item, name, key)) for key, item in where.entries(at_most=MAX_PARTS, what="attributes to values")
    )
    known = EVENT[name].attributes if name in EVENT else ()
    for key, _ in found:
        if name in EVENT and key not in known:
            where.problem(
                f'{name} has no attribute "{shown(key)}"; it has {", ".join(known) or "none"}{did_you_mean(key, known)}'
            )
    return EventMatch(name, found)


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
