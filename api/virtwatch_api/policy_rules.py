# Reads the rules of a policy or of a ThresholdSet. The CRDs' CEL rules say the same; a test compares both.
import math
import re

from virtwatch_api.catalogue.events import EVENT
from virtwatch_api.catalogue.signals import SIGNAL, TargetKind
from virtwatch_api.policy import (
    Absent,
    Aggregate,
    AllOf,
    AnomalyRule,
    AnyOf,
    Bound,
    Comparison,
    ConditionRule,
    CountPattern,
    EventMatch,
    EventRule,
    Function,
    Level,
    MissingData,
    PatternRule,
    Rule,
    RuleBody,
    SequencePattern,
    Severity,
    ThresholdRule,
    Timing,
)
from virtwatch_api.reading import Cursor

RULE_KINDS = ("threshold", "condition", "event", "pattern", "anomaly")
MAX_RULES = 32
MAX_PARTS = 8
MAX_NAME = 58  # so that an annotation "virtwatch.io/rule.NAME" is valid: 63 characters after the slash
NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
COMPARISON = ("signal", "aggregate", "above", "below")
MAX_DEPTH = 2
SENSITIVITIES = ("Low", "Medium", "High")
RESOLVE_WITHOUT_EVENT = 300.0  # seconds after which an event alert without resolveOn ends


def read_rules(rules: Cursor, *, target: TargetKind, interval: float) -> tuple[Rule, ...]:
    """Read the list of rules; `interval` in seconds is what windows must not be shorter than."""
    read: dict[str, Rule] = {}
    for cursor in rules.items(at_least=1, at_most=MAX_RULES):
        rule = _rule(cursor, target=target, interval=interval)
        if rule is not None and rule.name in read:
            cursor["name"].problem(f'"{rule.name}" is another rule of this policy; a rule\'s name is its identity')
        elif rule is not None:
            read[rule.name] = rule
    return tuple(read.values())


def _rule(cursor: Cursor, *, target: TargetKind, interval: float) -> Rule | None:
    if not cursor.mapping("name", "severity", *RULE_KINDS):
        return None
    name = cursor["name"].text(at_most=MAX_NAME, check=_name_problem)
    kinds = [kind for kind in RULE_KINDS if cursor.has(kind)]
    if len(kinds) != 1:
        cursor.problem(f"a rule holds exactly one of {', '.join(RULE_KINDS)}; this one holds {len(kinds)}")
        return None
    body = _body(cursor, kinds[0], target=target, interval=interval)
    return Rule(name, body) if body is not None else None


def _body(cursor: Cursor, kind: str, *, target: TargetKind, interval: float) -> RuleBody | None:
    inner = cursor[kind]
    if kind == "threshold":
        if cursor.has("severity"):
            cursor["severity"].problem("a threshold rule takes its severity from warning and critical; remove severity")
        return _threshold(inner, target=target, interval=interval)
    if not cursor.has("severity"):
        cursor.problem(f"a rule with {kind} needs a severity: Warning or Critical")
        return None
    severity = cursor["severity"].choice(Severity)
    match kind:
        case "condition":
            return _condition(inner, severity, target=target, interval=interval)
        case "event":
            return _event(inner, severity, target=target)
        case "pattern":
            return _pattern(inner, severity, target=target)
        case _:
            return _anomaly(inner, severity, target=target)


def _threshold(cursor: Cursor, *, target: TargetKind, interval: float) -> ThresholdRule | None:
    fields = ("signal", "aggregate", "warning", "critical", "for", "keepFiringFor", "missingData")
    if not cursor.mapping(*fields):
        return None
    warning = _level(cursor["warning"]) if cursor.has("warning") else None
    critical = _level(cursor["critical"]) if cursor.has("critical") else None
    if not cursor.has("warning") and not cursor.has("critical"):
        cursor.problem("needs warning, critical or both")
    if warning and critical:
        if warning.bound is not critical.bound:
            cursor.problem("warning and critical must be on the same side: both above or both below")
        elif warning.breached(critical.value) is False and warning.value != critical.value:
            cursor.problem("critical must be at least as far out as warning")
    return ThresholdRule(
        signal=_signal(cursor["signal"], target),
        aggregate=_aggregate(cursor["aggregate"], interval),
        warning=warning,
        critical=critical,
        timing=_timing(cursor),
    )


def _level(cursor: Cursor, *, recovers: bool = True) -> Level | None:
    if not cursor.mapping("above", "below", *(("recover",) if recovers else ())):
        return None
    return _bound(cursor)


def _bound(cursor: Cursor) -> Level | None:
    if cursor.has("above") == cursor.has("below"):
        cursor.problem("needs exactly one of above and below")
        return None
    bound = Bound.ABOVE if cursor.has("above") else Bound.BELOW
    value = cursor[bound].quantity(math.nan)
    recover = cursor["recover"].quantity(math.nan) if cursor.has("recover") else value
    if math.isnan(value) or math.isnan(recover):
        return None  # what is wrong was said; comparing on would say more that is not
    level = Level(bound, value, recover)
    if level.breached(recover):
        side = "at or below above" if bound is Bound.ABOVE else "at or above below"
        cursor.problem(f"recover must be {side}: the alert would otherwise resolve while it is still in breach")
    return level


def _signal(cursor: Cursor, target: TargetKind) -> str:
    name = cursor.text()
    signal = SIGNAL.get(name)
    if name and signal is None:
        cursor.problem(f'unknown signal "{name}"; `virtwatch signals` lists them')
    elif signal is not None and signal.target is not target:
        cursor.problem(f'signal "{name}" belongs to a {signal.target}, the policy\'s target is a {target}')
    return name


def _aggregate(cursor: Cursor, interval: float) -> Aggregate:
    if cursor.value is None or not cursor.mapping("function", "window"):
        return Aggregate()
    function = cursor["function"].choice(Function, Function.LAST)
    window = cursor["window"].duration(0.0, at_least=1.0)
    if function is Function.LAST:
        if cursor.has("window") and cursor["function"].value in (None, Function.LAST):
            cursor.problem("function Last takes no window; remove it or choose another function")
        return Aggregate()
    if not cursor.has("window"):
        cursor.problem(f"function {function} needs a window")
    elif function is Function.RATE and 0 < window < 2 * interval:
        # In a shorter one there are two samples by chance only, and the rule would be judged now and then.
        cursor["window"].problem(
            f"function {function} needs a window of at least twice collection.interval, for two samples"
        )
    elif 0 < window < interval:
        cursor["window"].problem("window must be at least as long as collection.interval")
    return Aggregate(function, window)


def _timing(cursor: Cursor) -> Timing:
    return Timing(
        for_=cursor["for"].duration(0.0),
        keep_firing_for=cursor["keepFiringFor"].duration(0.0),
        missing_data=cursor["missingData"].choice(MissingData, MissingData.HOLD),
    )


def _event(cursor: Cursor, severity: Severity, *, target: TargetKind) -> EventRule | None:
    if not cursor.mapping("type", "where", "resolveOn", "keepFiringFor"):
        return None
    resolve_on = tuple(_event_type(item, target) for item in cursor["resolveOn"].items(at_most=MAX_PARTS))
    keep = cursor["keepFiringFor"].duration(RESOLVE_WITHOUT_EVENT, at_least=1.0)
    match = _event_match(cursor, target)
    if match.type in resolve_on:
        cursor.problem(f'resolveOn must not hold the rule\'s own type "{match.type}"')
    return EventRule(severity=severity, event=match, resolve_on=resolve_on, keep_firing_for=keep)


def _event_match(cursor: Cursor, target: TargetKind) -> EventMatch:
    name = _event_type(cursor["type"], target)
    where = cursor["where"]
    if where.value is None:
        return EventMatch(name)
    known = EVENT[name].attributes if name in EVENT else ()
    if not isinstance(where.value, dict) or len(where.value) > MAX_PARTS:
        where.problem(f"must be a mapping of at most {MAX_PARTS} attributes to values")
        return EventMatch(name)
    for key in where.value:
        if name in EVENT and key not in known:
            where.problem(f'{name} has no attribute "{key}"; it has {", ".join(known) or "none"}')
    return EventMatch(name, tuple(sorted((str(key), where[str(key)].text()) for key in where.value)))


def _event_type(cursor: Cursor, target: TargetKind) -> str:
    name = cursor.text()
    if name and name not in EVENT:
        cursor.problem(f'unknown event "{name}"; `virtwatch events` lists them')
    elif name and target not in EVENT[name].targets:
        cursor.problem(f'event "{name}" belongs to a {EVENT[name].targets[0]}, the policy\'s target is a {target}')
    return name


def _condition(cursor: Cursor, severity: Severity, *, target: TargetKind, interval: float) -> ConditionRule | None:
    if not cursor.mapping("allOf", "anyOf", "for", "keepFiringFor", "missingData"):
        return None
    tree = _tree(cursor, target=target, interval=interval, depth=1)
    return ConditionRule(severity, tree, _timing(cursor)) if isinstance(tree, AllOf | AnyOf) else None


def _tree(cursor: Cursor, *, target: TargetKind, interval: float, depth: int) -> AllOf | AnyOf | Comparison | None:
    if cursor.has("allOf") == cursor.has("anyOf"):
        cursor.problem("needs exactly one of allOf and anyOf")
        return None
    kind = "allOf" if cursor.has("allOf") else "anyOf"
    items = cursor[kind].items(at_least=1, at_most=MAX_PARTS)
    parts = [_part(item, target=target, interval=interval, depth=depth) for item in items]
    found = tuple(part for part in parts if part is not None)
    return AllOf(found) if kind == "allOf" else AnyOf(found)


def _part(cursor: Cursor, *, target: TargetKind, interval: float, depth: int) -> AllOf | AnyOf | Comparison | None:
    groups = ("allOf", "anyOf")
    if depth == MAX_DEPTH and any(cursor.has(name) for name in groups):
        cursor.problem("conditions nest two levels deep, not more")
        return None
    if not cursor.mapping(*COMPARISON, *(groups if depth < MAX_DEPTH else ())):
        return None
    held = [name for name in ("signal", *groups) if cursor.has(name)]
    if len(held) != 1:
        cursor.problem(f"a part holds exactly one of signal, allOf, anyOf; this one holds {len(held)}")
        return None
    if held == ["signal"]:
        return _comparison(cursor, target=target, interval=interval)
    if any(cursor.has(name) for name in COMPARISON):
        cursor.problem("aggregate, above and below belong to a part with signal")
    return _tree(cursor, target=target, interval=interval, depth=depth + 1)


def _comparison(cursor: Cursor, *, target: TargetKind, interval: float) -> Comparison | None:
    level = _bound(cursor)
    signal = _signal(cursor["signal"], target)
    return Comparison(signal, _aggregate(cursor["aggregate"], interval), level) if level else None


def _pattern(cursor: Cursor, severity: Severity, *, target: TargetKind) -> PatternRule | None:
    if not cursor.mapping("count", "sequence", "within"):
        return None
    if cursor.has("count") == cursor.has("sequence"):
        cursor.problem("needs exactly one of count and sequence")
        return None
    if not cursor.has("within"):
        cursor.problem("needs within: how long the pattern may take")
    within = cursor["within"].duration(0.0, at_least=1.0)
    if cursor.has("count"):
        count = cursor["count"]
        if not count.mapping("type", "where", "atLeast"):
            return None
        at_least = count["atLeast"].integer(2, at_least=2, at_most=1000)
        return PatternRule(severity, CountPattern(_event_match(count, target), at_least, within))
    steps = tuple(_step(item, target) for item in cursor["sequence"].items(at_least=2, at_most=MAX_PARTS))
    if steps and isinstance(steps[0], Absent):
        cursor["sequence"].problem("a sequence begins with an event, not with absent")
    return PatternRule(severity, SequencePattern(steps, within))


def _step(cursor: Cursor, target: TargetKind) -> EventMatch | Absent:
    if not cursor.mapping("type", "where", "absent") or cursor.has("type") == cursor.has("absent"):
        cursor.problem("a step holds exactly one of type and absent")
        return Absent(())
    if cursor.has("type"):
        return _event_match(cursor, target)
    if cursor.has("where"):
        cursor.problem("where belongs to a step with type")
    absent = cursor["absent"].items(at_least=1, at_most=MAX_PARTS)
    return Absent(tuple(_event_type(item, target) for item in absent))


def _anomaly(cursor: Cursor, severity: Severity, *, target: TargetKind) -> AnomalyRule | None:
    if not cursor.mapping("signals", "sensitivity"):
        return None
    signals = tuple(_signal(item, target) for item in cursor["signals"].items(at_least=1, at_most=MAX_PARTS))
    sensitivity = cursor["sensitivity"].text("Medium")
    if sensitivity not in SENSITIVITIES:
        cursor["sensitivity"].problem(f'must be one of {", ".join(SENSITIVITIES)}, not "{sensitivity}"')
    return AnomalyRule(severity, signals, sensitivity)


def _name_problem(name: str) -> str | None:
    if NAME.fullmatch(name):
        return None
    return (
        "must be lower case letters, digits and dashes, with a letter or digit at both ends, "
        f'as in "cpu-starved", not "{name}"'
    )
