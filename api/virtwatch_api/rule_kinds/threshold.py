"""Threshold rules: one signal against one or two levels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from virtwatch_api.bounds import Scale, parse_bound, range_problem, scale
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.names import shown
from virtwatch_api.policy import Bound, Level, RuleBody, Severity, ThresholdRule
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.kind import Json, Need, RuleKind, Scope
from virtwatch_api.rule_kinds.schema import SIGNALS_BELONG, signal_belongs, validation
from virtwatch_api.rule_kinds.signal_fields import (
    TIMING,
    never_fires,
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
    compared,
    signal_field,
    timing_fields,
)

_FAR_ENOUGH = "critical must be at least as far out as warning"


class Threshold(RuleKind):
    """Judge one signal against one or two levels; they say the severity."""

    name = "threshold"
    body = ThresholdRule
    example = """\
name: cpu-starved
threshold:
  signal: vm.cpu.delay.ratio
  aggregate: {function: Avg, window: 5m}
  warning: {above: 5%, recover: 3%}
  critical: {above: 10%, recover: 6%}
  for: 2m
"""
    has_severity = False

    def read(self, cursor: Cursor, severity: Severity, scope: Scope) -> ThresholdRule | None:  # noqa: ARG002
        """Read a threshold; the severity is its levels'."""
        if not cursor.mapping("signal", "aggregate", "warning", "critical", *TIMING):
            return None
        signal, aggregate = read_signal(cursor["signal"], scope), read_aggregate(cursor["aggregate"])
        of = scale(signal, aggregate.function)
        warning, critical = (
            _level(cursor[name], of, scope) if cursor.has(name) else None for name in ("warning", "critical")
        )
        if not cursor.has("warning") and not cursor.has("critical"):
            cursor.problem("needs warning, critical or both")
        if warning and critical:
            if warning.bound is not critical.bound:
                cursor.problem("warning and critical must be on the same side: both above or both below")
            elif not _far_enough(warning, critical):
                cursor.problem(_FAR_ENOUGH)
        return ThresholdRule(signal, aggregate, warning, critical, read_timing(cursor))

    def write(self, body: Any) -> Json:
        """Write a threshold."""
        assert isinstance(body, ThresholdRule)
        levels = (("warning", body.warning), ("critical", body.critical))
        return {
            "signal": body.signal,
            **write_aggregate(body.aggregate),
            **{name: write_bound(level, recovers=True) for name, level in levels if level is not None},
            **write_timing(body.timing),
        }

    def needs(self, body: Any) -> Iterable[Need]:
        """Name the signal."""
        yield Need("signal", signal=body.signal)

    def mentions(self, signals: str, events: str) -> str:  # noqa: ARG002
        """Look at the signal."""
        return f"rule.threshold.signal in {signals}"

    def override(self, body: Any, levels: Mapping[str, str]) -> RuleBody | str:
        """Set levels; their hysteresis moves with them."""
        assert isinstance(body, ThresholdRule)
        of = scale(body.signal, body.aggregate.function)
        found: dict[str, Level | None] = {"warning": body.warning, "critical": body.critical}
        for name, text in levels.items():
            old = found.get(name)
            if old is None:
                return (
                    f'"{shown(name)}={shown(text)}" sets no level of this rule; write "off" or "warning=…,critical=…"'
                )
            try:
                value = parse_bound(text, of)
            except ValueError as error:
                return f'"{name}={shown(text)}": {error}'
            level = Level(old.bound, value, _recover(old, value, of))
            if problem := range_problem(value, of, text) or never_fires(level, of):
                return problem
            found[name] = level
        warning, critical = found["warning"], found["critical"]
        if warning and critical and not _far_enough(warning, critical):
            return _FAR_ENOUGH
        return replace(body, warning=warning, critical=critical)

    def schema(self, targets: Sequence[TargetKind]) -> Json:
        """Describe the field threshold."""
        levels = ("self.warning", "self.critical")
        return {
            "description": (
                "Judges one signal against one or two levels. Signals of a disk or a NIC are judged, and alert, for "
                "each device."
            ),
            "type": "object",
            "required": ["signal"],
            "x-kubernetes-validations": [
                validation("has(self.warning) || has(self.critical)", "needs warning, critical or both"),
                validation(
                    "!has(self.warning) || !has(self.critical) || "
                    "has(self.warning.above) == has(self.warning.below) || "
                    "has(self.critical.above) == has(self.critical.below) || "
                    "has(self.warning.above) == has(self.critical.above)",
                    "warning and critical must be on the same side: both above or both below",
                ),
                *(
                    validation(
                        f"!has(self.warning) || !has(self.critical) || !has(self.warning.{side}) || "
                        f"!has(self.critical.{side}) || "
                        + compared(f"string(self.critical.{side})", further, f"string(self.warning.{side})"),
                        _FAR_ENOUGH,
                    )
                    for side, further in (("above", ">="), ("below", "<="))
                ),
                *bound_rules(targets, levels, function="self.aggregate.__function__"),
            ],
            "properties": {
                "signal": signal_field(
                    "The signal; its unit, in brackets, is fixed. `virtwatch signals` lists them too; a planned one is "
                    "refused with reason NotImplemented.",
                    targets,
                    explained=True,
                ),
                "aggregate": aggregate_field(),
                "warning": _level_field("The level of a Warning. Holds exactly one of above and below."),
                "critical": _level_field(
                    "The level of a Critical alert, at least as far out as warning. Holds exactly one of above and "
                    "below."
                ),
                **timing_fields("a level"),
            },
        }

    def validations(self) -> Iterable[Json]:
        """Tie the signal to the target."""
        yield validation(
            f"self.rules.all(rule, !has(rule.threshold) || {signal_belongs('rule.threshold.signal')})",
            f"the signal of a threshold {SIGNALS_BELONG}",
        )


def _far_enough(warning: Level, critical: Level) -> bool:
    return warning.value == critical.value or warning.breached(critical.value)


def _recover(old: Level, value: float, of: Scale) -> float:
    """Return where a moved bound recovers: as far from it as before or, where nothing gets there, the same share of it.

    A bound of 5% that recovers at 3% does so at 0.6% when it is moved to 1%, not at -1%, which would be never.
    """
    end = of.range.least if old.bound is Bound.ABOVE else of.range.greatest
    recover = value + (old.recover - old.value)
    if old.recover in (old.value, end) or (end < recover if old.bound is Bound.ABOVE else recover < end):
        return max(recover, end) if old.bound is Bound.ABOVE else min(recover, end)
    return value + (end - value) * (old.recover - old.value) / (end - old.value)


def _level(cursor: Cursor, of: Scale, scope: Scope) -> Level | None:
    return read_bound(cursor, of, scope) if cursor.mapping("above", "below", "recover") else None


def _level_field(description: str) -> Json:
    sentence = "recover must be at or {} {}: the alert would otherwise resolve while it is still in breach"
    return {
        "description": description,
        "type": "object",
        "x-kubernetes-validations": [
            validation("has(self.above) != has(self.below)", "needs exactly one of above and below"),
            *(
                validation(
                    f"!has(self.recover) || !has(self.{side}) || "
                    + compared("string(self.recover)", good, f"string(self.{side})"),
                    sentence.format(where, side),
                )
                for side, good, where in (("above", "<=", "below"), ("below", ">=", "above"))
            ),
        ],
        "properties": {
            "above": bound_field(
                'Bad is what is above this, in the signal\'s unit; the bound itself is good. For example "0.05", '
                '"90%" of a share, "20Mi" of bytes, or "20ms" of a signal in seconds.'
            ),
            "below": bound_field(
                'Bad is what is below this, in the signal\'s unit; the bound itself is good. For example "10%".'
            ),
            "recover": bound_field(
                "Where a firing alert recovers: at or below above, at or above below; by default the bound. Apart from "
                'the bound it keeps an alert from flapping. For example "3%" with above "5%".'
            ),
        },
    }
