"""Event rules: an alert for an event, until another event or for a time."""

from collections.abc import Iterable, Sequence
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.duration import format_duration
from virtwatch_api.policy import EventRule, Severity
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.event_fields import read_event, read_event_type, write_event
from virtwatch_api.rule_kinds.event_schema import event_type_field, where_field, where_rules
from virtwatch_api.rule_kinds.kind import MAX_PARTS, Json, Need, RuleKind, Scope
from virtwatch_api.rule_kinds.schema import EVENTS_BELONG, duration_field, event_belongs, list_field, validation

RESOLVE_WITHOUT_EVENT_S = 300.0  # after which an alert without resolveOn ends


class Event(RuleKind):
    """Fire on an event."""

    name = "event"
    body = EventRule
    example = """\
name: paused-on-io-error
severity: Critical
event:
  type: vm.io_error
  where: {action: pause}
  resolveOn: [vm.resumed, vm.stopped]
"""

    def read(self, cursor: Cursor, severity: Severity, scope: Scope) -> EventRule | None:
        """Read an event rule."""
        if not cursor.mapping("type", "where", "resolveOn", "keepFiringFor"):
            return None
        resolve_on = tuple(read_event_type(item, scope) for item in cursor["resolveOn"].items(at_most=MAX_PARTS))
        keep = cursor["keepFiringFor"].duration(RESOLVE_WITHOUT_EVENT_S, at_least=1.0)
        event = read_event(cursor, scope)
        if event.type in resolve_on:
            cursor.problem(f'resolveOn must not hold the rule\'s own type "{event.type}"')
        return EventRule(severity=severity, event=event, resolve_on=resolve_on, keep_firing_for=keep)

    def write(self, body: Any) -> Json:
        """Write an event rule."""
        assert isinstance(body, EventRule)
        return {
            **write_event(body.event),
            "resolveOn": list(body.resolve_on),
            "keepFiringFor": format_duration(body.keep_firing_for),
        }

    def needs(self, body: Any) -> Iterable[Need]:
        """Name the event, and those that resolve it."""
        yield Need("type", event=body.event.type)
        for index, name in enumerate(body.resolve_on):
            yield Need(f"resolveOn[{index}]", event=name)

    def mentions(self, signals: str, events: str) -> str:  # noqa: ARG002
        """Look at the event, and at those that resolve it."""
        resolved = f"(has(rule.event.resolveOn) && rule.event.resolveOn.exists(type, type in {events}))"
        return f"rule.event.type in {events} || {resolved}"

    def schema(self, targets: Sequence[TargetKind]) -> Json:
        """Describe the field event."""
        return {
            "description": (
                "Fires when an event comes, and resolves on an event of resolveOn or, where none is named, "
                "keepFiringFor after the last one."
            ),
            "type": "object",
            "required": ["type"],
            "x-kubernetes-validations": [
                *where_rules(targets),
                validation(
                    "!has(self.resolveOn) || !(self.type in self.resolveOn)",
                    "resolveOn must not hold the rule's own type",
                ),
            ],
            "properties": {
                "type": event_type_field(
                    "The type of the event. Attributes that where may match stand in brackets; a planned type is "
                    "refused with reason NotImplemented.",
                    targets,
                    explained=True,
                ),
                "where": where_field(),
                "resolveOn": list_field(
                    "Types of events that end the alert, at most 8, for example [vm.resumed, vm.stopped].",
                    event_type_field("A type, as in type.", targets),
                ),
                "keepFiringFor": duration_field(
                    'How long after the last event an alert without resolveOn ends; from 1s to 24h, for example "5m".',
                    low="1s",
                    default="5m",
                ),
            },
        }

    def validations(self) -> Iterable[Json]:
        """Tie the events to the target."""
        yield validation(
            f"self.rules.all(rule, !has(rule.event) || {event_belongs('rule.event.type')} && "
            f"(!has(rule.event.resolveOn) || rule.event.resolveOn.all(type, {event_belongs('type')})))",
            f"the events of an event rule {EVENTS_BELONG}",
        )
