"""Condition rules: several signals together, allOf and anyOf, two levels deep."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from virtwatch_api.bounds import scale
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import AllOf, AnyOf, Comparison, ConditionRule, Severity
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.kind import MAX_PARTS, Json, Need, RuleKind, Scope
from virtwatch_api.rule_kinds.schema import SIGNALS_BELONG, list_field, signal_belongs, validation
from virtwatch_api.rule_kinds.signal_fields import (
    TIMING,
    read_aggregate,
    read_bound,
    read_signal,
    read_timing,
    write_aggregate,
    write_bound,
    write_timing,
)
from virtwatch_api.rule_kinds.signal_schema import (
    aggregate_field,
    bound_field,
    bound_rules,
    compared_field,
    timing_fields,
)

MAX_DEPTH = 2
_COMPARISON = ("signal", "aggregate", "above", "below")
_GROUPS = ("allOf", "anyOf")
_ONE_SIDE = "needs exactly one of above and below"
Tree = AllOf | AnyOf | Comparison


class Condition(RuleKind):
    """Judge several signals together."""

    name = "condition"
    body = ConditionRule
    example = """\
name: memory-pressure
severity: Warning
condition:
  allOf:
  - {signal: vm.memory.headroom.ratio, below: 5%}
  - anyOf:
    - {signal: vm.memory.major_faults.rate, above: 5}
    - {signal: vm.memory.swap.rate, above: 1Mi}
  for: 5m
"""

    def read(self, cursor: Cursor, severity: Severity, scope: Scope) -> ConditionRule | None:
        """Read a condition."""
        if not cursor.mapping(*_GROUPS, *TIMING):
            return None
        tree = _tree(cursor, scope, depth=1)
        return ConditionRule(severity, tree, read_timing(cursor)) if isinstance(tree, AllOf | AnyOf) else None

    def write(self, body: Any) -> Json:
        """Write a condition."""
        assert isinstance(body, ConditionRule)
        return {**_write(body.condition), **write_timing(body.timing)}

    def needs(self, body: Any) -> Iterable[Need]:
        """Name the signals of all comparisons."""
        return _needs(body.condition, "")

    def mentions(self, signals: str, events: str) -> str:  # noqa: ARG002
        """Look at the signals of all comparisons."""
        inner = " || ".join(
            f"(has(part.{kind}) && part.{kind}.exists(one, one.signal in {signals}))" for kind in _GROUPS
        )
        return " || ".join(
            f"(has(rule.condition.{group}) && rule.condition.{group}.exists(part, "
            f"(has(part.signal) && part.signal in {signals}) || {inner}))"
            for group in _GROUPS
        )

    def schema(self, targets: Sequence[TargetKind]) -> Json:
        """Describe the field condition."""
        return {
            "description": "Judges several signals together: exactly one of allOf and anyOf, two levels deep.",
            "type": "object",
            "x-kubernetes-validations": [
                validation("has(self.allOf) != has(self.anyOf)", "needs exactly one of allOf and anyOf")
            ],
            "properties": {
                "allOf": list_field("Holds when every part holds, 1 to 8 parts.", _part_schema(targets), at_least=1),
                "anyOf": list_field("Holds when some part holds, 1 to 8 parts.", _part_schema(targets), at_least=1),
                **timing_fields("the condition"),
            },
        }

    def validations(self) -> Iterable[Json]:
        """Tie the signals to the target."""
        for group in _GROUPS:
            inner = " && ".join(
                f"(!has(part.{kind}) || part.{kind}.all(comparison, {signal_belongs('comparison.signal')}))"
                for kind in _GROUPS
            )
            yield validation(
                f"self.rules.all(rule, !has(rule.condition) || !has(rule.condition.{group}) || "
                f"rule.condition.{group}.all(part, (!has(part.signal) || {signal_belongs('part.signal')}) && {inner}))",
                f"the signals of a condition {SIGNALS_BELONG}",
            )


def _tree(cursor: Cursor, scope: Scope, *, depth: int) -> Tree | None:
    if cursor.has("allOf") == cursor.has("anyOf"):
        cursor.problem("needs exactly one of allOf and anyOf")
        return None
    kind = "allOf" if cursor.has("allOf") else "anyOf"
    parts = [_part(item, scope, depth=depth) for item in cursor[kind].items(at_least=1, at_most=MAX_PARTS)]
    found = tuple(part for part in parts if part is not None)
    return AllOf(found) if kind == "allOf" else AnyOf(found)


def _part(cursor: Cursor, scope: Scope, *, depth: int) -> Tree | None:
    if depth == MAX_DEPTH and any(cursor.has(name) for name in _GROUPS):
        cursor.problem("conditions nest two levels deep, not more")
        return None
    if not cursor.mapping(*_COMPARISON, *(_GROUPS if depth < MAX_DEPTH else ())):
        return None
    held = [name for name in ("signal", *_GROUPS) if cursor.has(name)]
    if len(held) != 1:
        cursor.problem(f"a part holds exactly one of signal, allOf, anyOf; this one holds {len(held)}")
        return None
    if held == ["signal"]:
        return _comparison(cursor, scope)
    if any(cursor.has(name) for name in _COMPARISON):
        cursor.problem("aggregate, above and below belong to a part with signal")
    return _tree(cursor, scope, depth=depth + 1)


def _comparison(cursor: Cursor, scope: Scope) -> Comparison | None:
    signal, aggregate = read_signal(cursor["signal"], scope), read_aggregate(cursor["aggregate"])
    level = read_bound(cursor, scale(signal, aggregate.function), scope)
    return Comparison(signal, aggregate, level) if level else None


def _write(node: Tree) -> Json:
    match node:
        case AllOf(parts):
            return {"allOf": [_write(part) for part in parts]}
        case AnyOf(parts):
            return {"anyOf": [_write(part) for part in parts]}
        case Comparison(signal, aggregate, level):
            return {"signal": signal, **write_aggregate(aggregate), **write_bound(level, recovers=False)}


def _needs(node: Tree, path: str) -> Iterator[Need]:
    if isinstance(node, Comparison):
        yield Need(f"{path}.signal", signal=node.signal)
        return
    kind = "allOf" if isinstance(node, AllOf) else "anyOf"
    for index, part in enumerate(node.parts):
        yield from _needs(part, f"{path}.{kind}[{index}]" if path else f"{kind}[{index}]")


def _part_schema(targets: Sequence[TargetKind]) -> Json:
    comparison = _comparison_schema(targets)
    kinds = "[has(self.signal), has(self.allOf), has(self.anyOf)].filter(held, held).size() == 1"
    function = "(has(self.aggregate) ? self.aggregate.__function__ : 'Last')"
    return {
        "description": (
            "A comparison (signal with above or below), or exactly one of allOf and anyOf, whose parts are comparisons."
        ),
        "type": "object",
        "x-kubernetes-validations": [
            validation(kinds, "a part holds exactly one of signal, allOf, anyOf"),
            validation(
                "!has(self.signal) || has(self.allOf) || has(self.anyOf) || has(self.above) != has(self.below)",
                _ONE_SIDE,
            ),
            validation(
                "has(self.signal) || !(has(self.above) || has(self.below) || has(self.aggregate))",
                "aggregate, above and below belong to a part with signal",
            ),
            *bound_rules(targets, ("self",), function=function, optional=True),
        ],
        "properties": {
            **_comparison_fields(targets, default=False),
            "allOf": list_field("Holds when every comparison holds, 1 to 8.", comparison, at_least=1),
            "anyOf": list_field("Holds when some comparison holds, 1 to 8.", comparison, at_least=1),
        },
    }


def _comparison_schema(targets: Sequence[TargetKind]) -> Json:
    return {
        "description": "A comparison of one signal with one bound.",
        "type": "object",
        "required": ["signal"],
        "x-kubernetes-validations": [
            validation("has(self.above) != has(self.below)", _ONE_SIDE),
            *bound_rules(targets, ("self",), function="self.aggregate.__function__"),
        ],
        "properties": _comparison_fields(targets, default=True),
    }


def _comparison_fields(targets: Sequence[TargetKind], *, default: bool) -> Json:
    return {
        "signal": compared_field(targets),
        "aggregate": aggregate_field(default=default, explained=False),
        "above": bound_field("Holds while the value is above this."),
        "below": bound_field("Holds while the value is below this."),
    }
