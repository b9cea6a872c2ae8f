"""The CRDs' schemas of what rules on events share: types of events and `where`."""

from collections.abc import Sequence

from virtwatch_api.catalogue.entries import EventType, TargetKind
from virtwatch_api.rule_kinds.event_fields import events_of
from virtwatch_api.rule_kinds.kind import MAX_PARTS, Json
from virtwatch_api.rule_kinds.schema import MAX_ENTRY, validation, words

_MAX_VALUE = 253


def event_type_field(description: str, targets: Sequence[TargetKind], *, explained: bool = False) -> Json:
    """Describe an event's name; `explained` lists all events with their attributes."""
    found = events_of(targets)
    return {
        "description": "\n".join((description, *map(_line, found))) if explained else description,
        "type": "string",
        "enum": [item.name for item in found],
        "maxLength": MAX_ENTRY,
    }


def _line(item: EventType) -> str:
    attributes = f" [{', '.join(item.attributes)}]" if item.attributes else ""
    return f"- {item.name}{attributes}{'' if item.implemented else ' (planned)'}: {item.description}"


def where_field() -> Json:
    """Describe what an event's attributes must be."""
    return {
        "description": (
            "Attributes that must have these values, for example {action: pause}; all of them must match. The type's "
            "description names them, `virtwatch events` their values. What a live migration does to a VM (reason "
            "migrated, migration or postcopy) matches only where reason is named here."
        ),
        "type": "object",
        "maxProperties": MAX_PARTS,
        "additionalProperties": {
            "description": "The value, exactly as the event has it.",
            "type": "string",
            "minLength": 1,
            "maxLength": _MAX_VALUE,
        },
    }


def where_rules(targets: Sequence[TargetKind], *, optional: bool = False) -> list[Json]:
    """Return the CEL rules that hold `self.where` against `self.type`; `optional` says that there may be no type."""
    found = events_of(targets)
    given = "!has(self.type) || " if optional else ""
    attributes = sorted({name for item in found for name in item.attributes})
    known = [
        f"name == '{name}' && self.type in {words(item.name for item in found if name in item.attributes)}"
        for name in attributes
    ]
    values = [
        f"(!('{name}' in self.where) || !(self.type in {_values(found, name)})"
        f" || self.where['{name}'] in {_values(found, name)}[self.type])"
        for name in attributes
        if any(item.values(name) for item in found)
    ]
    return [
        validation(
            f"{given}!has(self.where) || self.where.all(name, {' || '.join(known)})",
            "where names an attribute that events of this type do not have; `virtwatch events` lists them",
        ),
        validation(
            f"{given}!has(self.where) || {' && '.join(values)}",
            "where names a value that the attribute of this type never has; `virtwatch events` lists them",
        ),
    ]


def _values(events: Sequence[EventType], attribute: str) -> str:
    closed = [f"'{item.name}': {words(item.values(attribute))}" for item in events if item.values(attribute)]
    return "{" + ", ".join(closed) + "}"
