"""All kinds of rule, and how rules are read and written by them."""

import re
from collections.abc import Sequence

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.names import NAME, ROUTING_LABEL, rule_name_problem, shown
from virtwatch_api.policy import Rule, RuleBody, Severity
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.anomaly import Anomaly
from virtwatch_api.rule_kinds.condition import Condition
from virtwatch_api.rule_kinds.event import Event
from virtwatch_api.rule_kinds.kind import Json, RuleKind, Scope
from virtwatch_api.rule_kinds.pattern import Pattern
from virtwatch_api.rule_kinds.schema import quoted, validation
from virtwatch_api.rule_kinds.threshold import Threshold
from virtwatch_api.summary import MAX_LENGTH as MAX_SUMMARY
from virtwatch_api.summary import NAMES, TEMPLATE, template_problem

RULE_KINDS: tuple[RuleKind, ...] = (Threshold(), Condition(), Event(), Pattern(), Anomaly())
MAX_RULES = 32
MAX_NAME = 58  # so that an annotation "virtwatch.io/rule.NAME" is valid: 63 characters after the slash
MAX_LABELS = 16
MAX_LABEL_VALUE = 253
MAX_URL = 1024
FIELDS = ("name", "severity", "labels", "summary", "runbookURL")
_ROUTING = "a routing label's key is letters, digits and underscores, and does not begin with a digit"
_NAMES = tuple(kind.name for kind in RULE_KINDS)
_BY_BODY = {kind.body: kind for kind in RULE_KINDS}
URL = re.compile(r"^https?://[!-~]+$")


def kind_of(body: RuleBody) -> RuleKind:
    """Return the kind of a rule's body."""
    return _BY_BODY[type(body)]


def read_rules(rules: Cursor, scope: Scope) -> tuple[Rule, ...]:
    """Read the list of rules."""
    read: dict[str, Rule] = {}
    for cursor in rules.items(at_least=1, at_most=MAX_RULES):
        name = cursor["name"].value
        rule = _rule(cursor.about(f'rule "{shown(name)}"') if isinstance(name, str) and name else cursor, scope)
        if rule is not None and rule.name in read:
            cursor["name"].problem(f'"{rule.name}" is another rule of this policy; a rule\'s name is its identity')
        elif rule is not None:
            read[rule.name] = rule
    return tuple(read.values())


def _rule(cursor: Cursor, scope: Scope) -> Rule | None:
    if not cursor.mapping(*FIELDS, *_NAMES):
        return None
    name = cursor["name"].about("").text(at_most=MAX_NAME, check=rule_name_problem)
    more = _labels(cursor["labels"]), _summary(cursor["summary"]), _url(cursor["runbookURL"])
    kinds = [kind for kind in RULE_KINDS if cursor.has(kind.name)]
    if len(kinds) != 1:
        cursor.problem(f"a rule holds exactly one of {', '.join(_NAMES)}; this one holds {len(kinds)}")
        return None
    body = _body(cursor, kinds[0], scope)
    return Rule(name, body, *more) if body is not None else None


def _body(cursor: Cursor, kind: RuleKind, scope: Scope) -> RuleBody | None:
    if not kind.has_severity:
        if cursor.has("severity"):
            cursor["severity"].problem(_own_severity(kind.name))
        return kind.read(cursor[kind.name], Severity.WARNING, scope)
    if not cursor.has("severity"):
        cursor.problem(f"a rule with {kind.name} needs a severity: Warning or Critical")
        return None
    return kind.read(cursor[kind.name], cursor["severity"].choice(Severity), scope)


def _own_severity(kind: str) -> str:
    return f"a {kind} rule takes its severity from its levels: write the bound under warning or critical, not severity"


def _labels(cursor: Cursor) -> tuple[tuple[str, str], ...]:
    found = []
    for key, item in cursor.entries(at_most=MAX_LABELS, what="labels to values"):
        if not ROUTING_LABEL.fullmatch(key) or len(key) > MAX_LABEL_VALUE:
            item.problem(_ROUTING)
        found.append((key, item.text(at_most=MAX_LABEL_VALUE)))
    return tuple(found)


def _summary(cursor: Cursor) -> str:
    return cursor.text(at_most=MAX_SUMMARY, check=template_problem) if cursor.value is not None else ""


def _url(cursor: Cursor) -> str:
    def check(url: str) -> str | None:
        return (
            None if URL.fullmatch(url) else f'must be a URL such as "https://wiki.example.com/cpu", not "{shown(url)}"'
        )

    return cursor.text(at_most=MAX_URL, check=check) if cursor.value is not None else ""


def rules_schema(targets: Sequence[TargetKind]) -> Json:
    """Return the CRDs' schema of spec.rules, where policies may watch `targets`."""
    with_severity = [kind.name for kind in RULE_KINDS if kind.has_severity]
    without = [kind.name for kind in RULE_KINDS if not kind.has_severity]
    listed = f"{', '.join(with_severity[:-1])} or {with_severity[-1]}"
    held = ", ".join(f"has(self.{name})" for name in _NAMES)
    return {
        "description": f"What is judged, 1 to {MAX_RULES} rules.",
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_RULES,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "description": f"One rule: a name and exactly one of {', '.join(_NAMES)}.",
            "type": "object",
            "required": ["name"],
            "x-kubernetes-validations": [
                validation(
                    f"[{held}].filter(held, held).size() == 1", f"a rule holds exactly one of {', '.join(_NAMES)}"
                ),
                *(validation(f"!has(self.{name}) || !has(self.severity)", _own_severity(name)) for name in without),
                validation(
                    f"has(self.severity) || !({' || '.join(f'has(self.{name})' for name in with_severity)})"
                    + "".join(f" || has(self.{name})" for name in without),
                    f"a rule with {listed} needs a severity: Warning or Critical",
                ),
            ],
            "properties": {
                "name": {
                    "description": (
                        'The rule\'s identity, for example "cpu-starved": lower case letters, digits and dashes; at '
                        f"most {MAX_NAME} characters, so that a VM's annotation virtwatch.io/rule.NAME can hold it. "
                        "For a VM that both select, a MonitorPolicy's rule replaces the ClusterMonitorPolicy's rule of "
                        "that name."
                    ),
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_NAME,
                    "x-kubernetes-validations": [
                        validation(
                            f"self.matches({quoted(NAME.pattern)})",
                            "must be lower case letters, digits and dashes, with a letter or digit at both ends, as in "
                            '"cpu-starved"',
                        )
                    ],
                },
                "severity": {
                    "description": (
                        f"How bad it is when the rule fires. Required with {listed}; a {' or '.join(without)} says it "
                        "by its levels warning and critical."
                    ),
                    "type": "string",
                    "enum": list(map(str, Severity)),
                },
                **_notification_fields(),
                **{kind.name: kind.schema(targets) for kind in RULE_KINDS},
            },
        },
    }


def _notification_fields() -> Json:
    return {
        "labels": {
            "description": (
                f"Labels that notifications carry, for routing, at most {MAX_LABELS}: for example {{team: shop}}."
            ),
            "type": "object",
            "maxProperties": MAX_LABELS,
            "x-kubernetes-validations": [
                validation(
                    f"self.all(key, key.size() <= {MAX_LABEL_VALUE} && key.matches({quoted(ROUTING_LABEL.pattern)}))",
                    _ROUTING,
                )
            ],
            "additionalProperties": {
                "description": "The label's value.",
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_LABEL_VALUE,
            },
        },
        "summary": {
            "description": (
                'The sentence of a notification, for example "{target} waits for CPU: {value}"; by default '
                f"virtwatch's own. Names in braces are filled in: {', '.join(NAMES)}."
            ),
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_SUMMARY,
            "x-kubernetes-validations": [
                validation(
                    f"self.matches({quoted(TEMPLATE)})",
                    f"a name in braces must be one of {', '.join(NAMES)}",
                )
            ],
        },
        "runbookURL": {
            "description": 'Where it is written what to do, for example "https://wiki.example.com/cpu-starved".',
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_URL,
            "x-kubernetes-validations": [
                validation(
                    f"self.matches({quoted(URL.pattern)})",
                    'must be a URL such as "https://wiki.example.com/cpu"',
                )
            ],
        },
    }


def encode_rule(rule: Rule) -> Json:
    """Write one rule."""
    kind = kind_of(rule.body)
    severity = kind.severity(rule.body)
    return {
        "name": rule.name,
        **({"severity": severity.value} if severity is not None else {}),
        **({"labels": dict(rule.labels)} if rule.labels else {}),
        **({"summary": rule.summary} if rule.summary else {}),
        **({"runbookURL": rule.runbook_url} if rule.runbook_url else {}),
        kind.name: kind.write(rule.body),
    }
