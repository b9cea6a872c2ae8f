# Writes rules, target and collection in the shape that `policy_rules` and `policy_codec` read, defaults spelled out.
from typing import Any

from virtwatch_api.duration import format_duration
from virtwatch_api.policy import (
    Absent,
    Aggregate,
    AllOf,
    AnomalyRule,
    AnyOf,
    Collection,
    Comparison,
    ConditionRule,
    CountPattern,
    EventMatch,
    EventRule,
    Function,
    LabelSelector,
    Level,
    PatternRule,
    Rule,
    Target,
    ThresholdRule,
    Timing,
)
from virtwatch_api.quantity import format_quantity

Json = dict[str, Any]


def encode_rule(rule: Rule) -> Json:
    """Write one rule."""
    match rule.body:
        case ThresholdRule() as body:
            return {"name": rule.name, "threshold": _threshold(body)}
        case EventRule(severity, event, resolve_on, keep):
            inner = {**_match(event), "resolveOn": list(resolve_on), "keepFiringFor": format_duration(keep)}
            return {"name": rule.name, "severity": severity.value, "event": inner}
        case ConditionRule(severity, condition, timing):
            return {
                "name": rule.name,
                "severity": severity.value,
                "condition": {**_tree(condition), **_timing(timing)},
            }
        case PatternRule(severity, pattern):
            within = {"within": format_duration(pattern.within)}
            if isinstance(pattern, CountPattern):
                inner = {"count": {**_match(pattern.event), "atLeast": pattern.at_least}, **within}
            else:
                inner = {"sequence": [_step(step) for step in pattern.steps], **within}
            return {"name": rule.name, "severity": severity.value, "pattern": inner}
        case AnomalyRule(severity, signals, sensitivity):
            inner = {"signals": list(signals), "sensitivity": sensitivity}
            return {"name": rule.name, "severity": severity.value, "anomaly": inner}


def encode_target(target: Target) -> Json:
    """Write a target without its namespace selector, which a ThresholdSet holds resolved."""
    encoded: Json = {"kind": target.kind.value}
    if target.selector is not None:
        encoded["selector"] = encode_selector(target.selector)
    if target.names:
        encoded["names"] = list(target.names)
    if target.node_selector is not None:
        encoded["nodeSelector"] = encode_selector(target.node_selector)
    return encoded


def encode_selector(selector: LabelSelector) -> Json:
    """Write a label selector."""
    return {
        "matchExpressions": [
            {"key": item.key, "operator": item.operator, **({"values": list(item.values)} if item.values else {})}
            for item in selector.requirements
        ]
    }


def encode_collection(collection: Collection) -> Json:
    """Write a collection."""
    encoded: Json = {"mode": collection.mode.value, "interval": format_duration(collection.interval)}
    if collection.share < 1:
        encoded["share"] = format_quantity(collection.share)
    return encoded


def _threshold(body: ThresholdRule) -> Json:
    levels = (("warning", body.warning), ("critical", body.critical))
    return {
        "signal": body.signal,
        **_aggregate(body.aggregate),
        **{name: _level(level, recovers=True) for name, level in levels if level is not None},
        **_timing(body.timing),
    }


def _level(level: Level, *, recovers: bool) -> Json:
    recover = {"recover": format_quantity(level.recover)} if recovers else {}
    return {level.bound.value: format_quantity(level.value), **recover}


def _aggregate(aggregate: Aggregate) -> Json:
    if aggregate.function is Function.LAST:
        return {"aggregate": {"function": "Last"}}
    return {"aggregate": {"function": aggregate.function.value, "window": format_duration(aggregate.window)}}


def _timing(timing: Timing) -> Json:
    return {
        "for": format_duration(timing.for_),
        "keepFiringFor": format_duration(timing.keep_firing_for),
        "missingData": timing.missing_data.value,
    }


def _match(event: EventMatch) -> Json:
    return {"type": event.type, **({"where": dict(event.where)} if event.where else {})}


def _tree(node: AllOf | AnyOf | Comparison) -> Json:
    match node:
        case AllOf(parts):
            return {"allOf": [_tree(part) for part in parts]}
        case AnyOf(parts):
            return {"anyOf": [_tree(part) for part in parts]}
        case Comparison(signal, aggregate, level):
            return {"signal": signal, **_aggregate(aggregate), **_level(level, recovers=False)}


def _step(step: EventMatch | Absent) -> Json:
    return {"absent": list(step.types)} if isinstance(step, Absent) else _match(step)
