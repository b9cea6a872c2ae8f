"""The CRDs' schemas of spec.target and spec.collection, as far as they repeat or follow from the codec."""

from virtwatch_api import bounds
from virtwatch_api.catalogue.entries import Instrument
from virtwatch_api.catalogue.instruments import choices
from virtwatch_api.catalogue.signals import SIGNALS
from virtwatch_api.names import ANY_GLOB, GLOB, LABEL_KEY, LABEL_VALUE, MAX_LABEL_KEY
from virtwatch_api.rule_kinds.kind import Json
from virtwatch_api.rule_kinds.name_pattern import pattern_of
from virtwatch_api.rule_kinds.schema import duration_field, list_field, quoted, validation
from virtwatch_api.rule_kinds.signal_schema import bound_field, value_of
from virtwatch_api.target_codec import MAX_REQUIREMENTS, MAX_VALUES, MOST_INSTRUMENTS, OPERATORS

_MAX_LABEL_VALUE = 63
SIGNALS_ALONE = "must name signals that are collected, such as vm.cpu.utilization; see `virtwatch signals`"
_LABEL_KEY = 'must be the key of a label, as in "app.kubernetes.io/name"'
_LABEL_VALUE = validation(
    f"self.matches({quoted(LABEL_VALUE.pattern)})",
    "must be a label's value: letters, digits, dashes, dots and underscores, with a letter or digit at both ends",
)


def selector_field(description: str) -> Json:
    """Describe a label selector."""
    return {
        "description": description,
        "type": "object",
        "x-kubernetes-validations": [
            validation(
                "(has(self.matchLabels) ? self.matchLabels.size() : 0) + "
                f"(has(self.matchExpressions) ? self.matchExpressions.size() : 0) <= {MAX_REQUIREMENTS}",
                f"a selector has at most {MAX_REQUIREMENTS} requirements",
            )
        ],
        "properties": {
            "matchLabels": {
                "description": "Labels that must have these values, for example {tier: web}.",
                "type": "object",
                "maxProperties": MAX_REQUIREMENTS,
                "x-kubernetes-validations": [validation(f"self.all(key, {_key('key')})", _LABEL_KEY)],
                "additionalProperties": _label_value("The label's value."),
            },
            "matchExpressions": list_field(
                "Requirements that must all be met.", _requirement(), at_most=MAX_REQUIREMENTS
            ),
        },
    }


def _requirement() -> Json:
    return {
        "description": "One requirement.",
        "type": "object",
        "required": ["key", "operator"],
        "x-kubernetes-validations": [
            validation(
                "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
                "In and NotIn need values; Exists and DoesNotExist take none",
            )
        ],
        "properties": {
            "key": {
                "description": 'The label\'s key, for example "app.kubernetes.io/name".',
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_LABEL_KEY,
                "x-kubernetes-validations": [validation(_key("self"), _LABEL_KEY)],
            },
            "operator": {
                "description": "In and NotIn compare with values; Exists and DoesNotExist look at the key alone.",
                "type": "string",
                "enum": list(OPERATORS),
            },
            "values": list_field(
                f"The values of In and NotIn, at most {MAX_VALUES}.",
                _label_value("A label's value."),
                at_most=MAX_VALUES,
            ),
        },
    }


def _key(text: str) -> str:
    """Return the CEL text that says that a text may be a label's key; its prefix has at most 253 characters."""
    return (
        f"{text}.size() <= {MAX_LABEL_KEY} && {text}.indexOf('/') <= 253 && {text}.matches({quoted(LABEL_KEY.pattern)})"
    )


def _label_value(description: str) -> Json:
    return {
        "description": description,
        "type": "string",
        "maxLength": _MAX_LABEL_VALUE,
        "x-kubernetes-validations": [_LABEL_VALUE],
    }


def glob_rules(*, cluster: bool) -> list[Json]:
    """Return the CEL rule of a glob on names."""
    if cluster:
        return [validation(f"self.matches({quoted(ANY_GLOB.pattern)})", "must be a glob on a name, without slashes")]
    return [
        validation(
            f"self.matches({quoted(GLOB.pattern)})",
            "must be a glob on a VM's name in Kubernetes: lower case letters, digits, dashes, dots and *, ?, [ ]",
        )
    ]


def interval_field(description: str) -> Json:
    """Describe the base of the time between samples."""
    return duration_field(description, low="1s", high="1h", default="15s")


def instruments_field(description: str) -> Json:
    """Describe which instruments carry signals."""
    every = pattern_of(signal.name for signal in SIGNALS if choices(signal))
    counted = pattern_of(signal.name for signal in SIGNALS if Instrument.COUNTER in choices(signal))
    return {
        "description": description,
        "type": "object",
        "maxProperties": MOST_INSTRUMENTS,
        "x-kubernetes-validations": [
            validation(f"self.all(name, name.matches({quoted(every)}))", SIGNALS_ALONE),
            validation(
                f"self.all(name, self[name] != 'Counter' || name.matches({quoted(counted)}))",
                "only the rate of one counter, such as vm.disk.read.rate, can be a Counter; choose Gauge or Summary",
            ),
        ],
        "additionalProperties": {
            "description": "The instrument.",
            "type": "string",
            "enum": [instrument.capitalize() for instrument in Instrument],
        },
    }


def share_field(description: str) -> Json:
    """Describe a share of the VMs."""
    field = bound_field(description)
    text = "string(self)"
    written = f"{text}.matches({quoted(bounds.PATTERN)}) && !{text}.endsWith('s')"
    fits = f"{written} && {value_of(text)} >= 0.01 && {value_of(text)} <= 1.0"
    sentence = 'must be a share from 0.01 to 1, for example "0.25" or "25%"'
    return {**field, "x-kubernetes-validations": [validation(fits, sentence)]}
