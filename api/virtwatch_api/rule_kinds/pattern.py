"""Pattern rules: so many events within a time, or a sequence of them."""

from collections.abc import Iterable, Sequence
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.duration import format_duration
from virtwatch_api.policy import Absent, CountBy, CountPattern, EventMatch, PatternRule, SequencePattern, Severity
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.event_fields import read_event, read_event_type, write_event
from virtwatch_api.rule_kinds.event_schema import event_type_field, where_field, where_rules
from virtwatch_api.rule_kinds.kind import MAX_PARTS, Json, Need, RuleKind, Scope
from virtwatch_api.rule_kinds.schema import EVENTS_BELONG, duration_field, event_belongs, list_field, validation

MAX_COUNT = 1000
_DISTINCT = "distinct counts each VM once, so it needs by: Node, Namespace or StoragePool"


class Pattern(RuleKind):
    """Fire on a pattern of events."""

    name = "pattern"
    body = PatternRule
    example = """\
name: migration-stuck
severity: Warning
pattern:
  sequence:
  - {type: vm.migration_started}
  - {absent: [vm.migration_completed, vm.migration_failed]}
  within: 15m
"""

    def read(self, cursor: Cursor, severity: Severity, scope: Scope) -> PatternRule | None:
        """Read a pattern."""
        if not cursor.mapping("count", "sequence", "within"):
            return None
        if cursor.has("count") == cursor.has("sequence"):
            cursor.problem("needs exactly one of count and sequence")
            return None
        if not cursor.has("within"):
            cursor.problem("needs within: how long the pattern may take")
        within = cursor["within"].duration(0.0, at_least=1.0)
        if cursor.has("count"):
            count = _count(cursor["count"], scope, within)
            return PatternRule(severity, count) if count else None
        steps = tuple(_step(item, scope) for item in cursor["sequence"].items(at_least=2, at_most=MAX_PARTS))
        if steps and isinstance(steps[0], Absent):
            cursor["sequence"].problem("a sequence begins with an event, not with absent")
        return PatternRule(severity, SequencePattern(steps, within))

    def write(self, body: Any) -> Json:
        """Write a pattern."""
        assert isinstance(body, PatternRule)
        pattern = body.pattern
        within = {"within": format_duration(pattern.within)}
        if isinstance(pattern, SequencePattern):
            return {"sequence": [_write_step(step) for step in pattern.steps], **within}
        joined = {"by": pattern.by.value, "distinct": pattern.distinct}
        return {"count": {**write_event(pattern.event), "atLeast": pattern.at_least, **joined}, **within}

    def needs(self, body: Any) -> Iterable[Need]:
        """Name the events."""
        pattern = body.pattern
        if isinstance(pattern, CountPattern):
            yield Need("count.type", event=pattern.event.type)
            return
        for index, step in enumerate(pattern.steps):
            if isinstance(step, EventMatch):
                yield Need(f"sequence[{index}].type", event=step.type)
                continue
            for place, name in enumerate(step.types):
                yield Need(f"sequence[{index}].absent[{place}]", event=name)

    def mentions(self, signals: str, events: str) -> str:  # noqa: ARG002
        """Look at the events."""
        step = f"(has(step.type) && step.type in {events})"
        absent = f"(has(step.absent) && step.absent.exists(type, type in {events}))"
        return (
            f"(has(rule.pattern.count) && rule.pattern.count.type in {events}) || "
            f"(has(rule.pattern.sequence) && rule.pattern.sequence.exists(step, {step} || {absent}))"
        )

    def schema(self, targets: Sequence[TargetKind]) -> Json:
        """Describe the field pattern."""
        return {
            "description": "Fires on a pattern of events: so many within a time, or a sequence of them.",
            "type": "object",
            "required": ["within"],
            "x-kubernetes-validations": [
                validation("has(self.count) != has(self.sequence)", "needs exactly one of count and sequence")
            ],
            "properties": {
                "count": _count_schema(targets),
                "sequence": {
                    **list_field(
                        "Steps in this order, 2 to 8, for example a migration that started and then neither completed "
                        "nor failed.",
                        _step_schema(targets),
                        at_least=2,
                    ),
                    "x-kubernetes-validations": [
                        validation(
                            "self.size() == 0 || !has(self[0].absent)",
                            "a sequence begins with an event, not with absent",
                        )
                    ],
                },
                "within": duration_field(
                    'How long the whole pattern may take, from 1s to 24h, for example "10m".', low="1s"
                ),
            },
        }

    def validations(self) -> Iterable[Json]:
        """Tie the events to the target."""
        yield validation(
            "self.rules.all(rule, !has(rule.pattern) || !has(rule.pattern.count) || "
            f"{event_belongs('rule.pattern.count.type')})",
            f"the events of a pattern {EVENTS_BELONG}",
        )
        yield validation(
            "self.rules.all(rule, !has(rule.pattern) || !has(rule.pattern.sequence) || "
            f"rule.pattern.sequence.all(step, (!has(step.type) || {event_belongs('step.type')}) && "
            f"(!has(step.absent) || step.absent.all(type, {event_belongs('type')}))))",
            f"the events of a pattern {EVENTS_BELONG}",
        )
        yield validation(
            "self.target.kind == 'VirtualMachine' || self.rules.all(rule, !has(rule.pattern) || "
            "!has(rule.pattern.count) || rule.pattern.count.by == 'VirtualMachine')",
            "by joins the events of VirtualMachines: it needs a target of that kind",
        )


def _count(cursor: Cursor, scope: Scope, within: float) -> CountPattern | None:
    if not cursor.mapping("type", "where", "atLeast", "by", "distinct"):
        return None
    at_least = cursor["atLeast"].integer(2, at_least=2, at_most=MAX_COUNT)
    by = cursor["by"].choice(CountBy, CountBy.VIRTUAL_MACHINE)
    distinct = cursor["distinct"].boolean(default=False)
    if scope.target is not TargetKind.VIRTUAL_MACHINE and by is not CountBy.VIRTUAL_MACHINE:
        cursor["by"].problem(f"joins the events of VirtualMachines, the policy's target is a {scope.target}; remove it")
    if distinct and by is CountBy.VIRTUAL_MACHINE:
        cursor.problem(_DISTINCT)
    return CountPattern(read_event(cursor, scope), at_least, within, by, distinct)


def _step(cursor: Cursor, scope: Scope) -> EventMatch | Absent:
    if not cursor.mapping("type", "where", "absent") or cursor.has("type") == cursor.has("absent"):
        cursor.problem("a step holds exactly one of type and absent")
        return Absent(())
    if cursor.has("type"):
        return read_event(cursor, scope)
    if cursor.has("where"):
        cursor.problem("where belongs to a step with type")
    absent = cursor["absent"].items(at_least=1, at_most=MAX_PARTS)
    return Absent(tuple(read_event_type(item, scope) for item in absent))


def _write_step(step: EventMatch | Absent) -> Json:
    return {"absent": list(step.types)} if isinstance(step, Absent) else write_event(step)


def _count_schema(targets: Sequence[TargetKind]) -> Json:
    return {
        "description": "At least so many events, for example three crashes within ten minutes.",
        "type": "object",
        "required": ["type"],
        "x-kubernetes-validations": [
            *where_rules(targets),
            validation("!self.distinct || self.by != 'VirtualMachine'", _DISTINCT),
        ],
        "properties": {
            "type": event_type_field("The type of the events, as in event.type.", targets),
            "where": where_field(),
            "atLeast": {
                "description": (
                    f"How many events make the pattern, from 2 to {MAX_COUNT}; for a single one write an event rule."
                ),
                "type": "integer",
                "format": "int32",
                "minimum": 2,
                "maximum": MAX_COUNT,
                "default": 2,
            },
            "by": {
                "description": (
                    "Whose events are counted together: those of one VirtualMachine, or those of all VMs of one Node, "
                    "Namespace or StoragePool."
                ),
                "type": "string",
                "enum": list(map(str, CountBy)),
                "maxLength": 16,
                "default": "VirtualMachine",
            },
            "distinct": {
                "description": "Whether each VM counts once, as in: 5 different VMs of one storage pool.",
                "type": "boolean",
                "default": False,
            },
        },
    }


def _step_schema(targets: Sequence[TargetKind]) -> Json:
    return {
        "description": "One step: an event that comes, or events of which none comes.",
        "type": "object",
        "x-kubernetes-validations": [
            validation("has(self.type) != has(self.absent)", "a step holds exactly one of type and absent"),
            validation("has(self.type) || !has(self.where)", "where belongs to a step with type"),
            *where_rules(targets, optional=True),
        ],
        "properties": {
            "type": event_type_field("The type of the event that comes, as in event.type.", targets),
            "where": where_field(),
            "absent": list_field(
                "Types of events of which none comes before the next step or, as the last step, until within has "
                "passed; 1 to 8.",
                event_type_field("A type, as in event.type.", targets),
                at_least=1,
            ),
        },
    }
