"""The CRDs' schemas of what rules on signals share: signal, aggregate, bounds and timers."""

from collections.abc import Callable, Sequence

from virtwatch_api import bounds
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.signals import Signal
from virtwatch_api.policy import Function, MissingData
from virtwatch_api.quantity import MAX_LENGTH
from virtwatch_api.rule_kinds.kind import Json
from virtwatch_api.rule_kinds.schema import MAX_ENTRY, duration_field, quoted, validation, words
from virtwatch_api.rule_kinds.signal_fields import signals_of

_OF_VALUES = (Function.LAST, Function.AVG, Function.MAX, Function.MIN, Function.P95)  # in the signal's unit and range
_COUNTS_OR_GROWTH = (Function.COUNT, Function.RATE)  # in another unit


def signal_field(description: str, targets: Sequence[TargetKind], *, explained: bool = False) -> Json:
    """Describe a signal's name; `explained` lists all signals with their units."""
    found = signals_of(targets)
    lines = [f"- {item.name} [{item.unit}]{'' if item.formula else ' (planned)'}: {item.description}" for item in found]
    return {
        "description": "\n".join((description, *lines)) if explained else description,
        "type": "string",
        "enum": [item.name for item in found],
        "maxLength": MAX_ENTRY,
    }


def aggregate_field(*, default: bool) -> Json:
    """Describe an aggregate; by `default` it is there, as Last."""
    return {
        "description": "How the samples of a device become the judged value; by default the last sample.",
        "type": "object",
        **({"default": {"function": "Last"}} if default else {}),
        "x-kubernetes-validations": [
            validation(
                "self.__function__ != 'Last' || !has(self.window)",
                "function Last takes no window; remove it or choose another function",
            ),
            validation(
                "self.__function__ == 'Last' || has(self.window)",
                "the function needs a window",
                "'function ' + self.__function__ + ' needs a window'",
            ),
        ],
        "properties": {
            "function": {
                "description": (
                    "Last takes the newest sample and no window. Avg, Max, Min, P95, Sum and Count work on the samples "
                    "of the window; Rate is the growth from its first sample to its last, divided by the seconds "
                    "between the two."
                ),
                "type": "string",
                "enum": list(map(str, Function)),
                "maxLength": 8,
                "default": "Last",
            },
            "window": duration_field(
                'How far back samples count, from 1s to 24h, for example "5m". Where it is shorter than '
                "collection.interval, or than twice that for Rate, samples are taken as often as it needs.",
                low="1s",
            ),
        },
    }


def timing_fields(what: str) -> Json:
    """Describe the timers of a rule, and what missing data does; `what` is what must hold."""
    return {
        "for": duration_field(
            f"How long {what} must hold without a break before the rule fires, as in Prometheus; from 0s to 24h, for "
            'example "2m".',
            default="0s",
        ),
        "keepFiringFor": duration_field(
            f"How long an alert keeps firing after {what} has held last, as in Prometheus; from 0s to 24h, for example "
            '"5m".',
            default="0s",
        ),
        "missingData": {
            "description": (
                "What happens while there is no data: Hold keeps the alert as it is, Resolve ends it, Alert fires it."
            ),
            "type": "string",
            "enum": list(map(str, MissingData)),
            "default": "Hold",
        },
    }


def bound_field(description: str) -> Json:
    """Describe a bound as people write it."""
    return {
        "description": description,
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "maxLength": MAX_LENGTH,
        "x-kubernetes-validations": [
            validation(
                f"string(self).matches({quoted(bounds.PATTERN)})",
                'must be a number such as 5, "0.05", "20Mi", "90%" of a share or "20ms" (quoted unless whole)',
            )
        ],
    }


def value_of(text: str) -> str:
    """Return the CEL number of a bound's text; a text that is none, which its own field says, is 0."""
    number = f"{text}.substring(0, {text}.size() - 1)"  # of a share in percent, or of a time in seconds
    return (
        f"(isQuantity({text}) ? quantity({text}).asApproximateFloat() : isQuantity({number}) ? "
        f"quantity({number}).asApproximateFloat() / ({text}.endsWith('%') ? 100.0 : 1.0) : 0.0)"
    )


def bound_rules(
    targets: Sequence[TargetKind], places: Sequence[str], *, function: str, optional: bool = False
) -> list[Json]:
    """Return the CEL rules that hold bounds against the unit and range of `self.signal`.

    `places` are the objects that hold bounds, `function` is the aggregate's function, both as CEL texts; `optional`
    says that there may be no signal.
    """
    found = signals_of(targets)
    given = "!has(self.signal) || " if optional else ""  # of what may be a group of comparisons
    other_unit = f"{function} in {words(_COUNTS_OR_GROWTH)}"
    unitless = f"{_among([item for item in found if item.unit == '1'], found)} && !({other_unit})"
    seconds = f"{_among([item for item in found if item.unit == 's'], found)} && !({other_unit})"
    share = f"{_among([item for item in found if item.range.share], found)} && {function} in {words(_OF_VALUES)}"
    ambiguous = f".matches({quoted(bounds.AMBIGUOUS)})"
    no_percent = _all(places, lambda text: f"!{text}.endsWith('%')")
    no_time = _all(places, lambda text: f"!{text}.endsWith('s')")
    clear = _all(places, lambda text: f"!{text}{ambiguous}")
    at_most_one = _all(places, lambda text: f"{value_of(text)} <= 1.0")
    not_negative = _all(places, lambda text: f"{value_of(text)} >= 0.0")
    below_one = _all(places, lambda text: f"{value_of(text)} < 1.0", ("above",))
    positive = _all(places, lambda text: f"{value_of(text)} > 0.0", ("below",))
    return [
        validation(f"{given}{unitless} || {no_percent}", "% belongs to a signal without unit"),
        validation(f"{given}{seconds} || {no_time}", "a time belongs to a signal in seconds"),
        validation(
            f"{given}!({seconds}) || {clear}",
            'm is ambiguous for a signal in seconds; write for example "20ms" for milliseconds, "1200s" for minutes',
        ),
        validation(
            f"{given}!({share}) || {at_most_one}",
            'out of range: the signal is a share from 0 to 1; write for example "0.9" or "90%"',
        ),
        validation(f"{given}{function} == 'Rate' || {not_negative}", "out of range: the signal is never below 0"),
        validation(
            f"{given}!({share}) || {below_one}",
            "the rule can never fire: the signal is never above 1",
        ),
        validation(
            f"{given}{function} == 'Rate' || {positive}",
            "the rule can never fire: the signal is never below 0",
        ),
    ]


def _among(some: Sequence[Signal], found: Sequence[Signal]) -> str:
    """Return the CEL text that says that the signal is one of `some`: by the ends of names, which is short."""
    ends = sorted({item.name.rpartition(".")[2] for item in some})
    fits = [item for item in found if item.name.rpartition(".")[2] in ends]
    others = [item.name for item in fits if item not in some]
    ending = f"self.signal.matches('[.]({'|'.join(ends)})$')"
    return ending + (f" && !(self.signal in {words(others)})" if others else "")


def _all(
    places: Sequence[str], says: Callable[[str], str], sides: Sequence[str] = ("above", "below", "recover")
) -> str:
    """Return the CEL text that says something of each bound that is there; a comparison has no recover."""
    held = [
        f"?{place.replace('.', '.?')}.?{side}"
        for place in places
        for side in sides
        if place != "self" or side != "recover"
    ]
    return f"[{', '.join(held)}].map(t, string(t)).all(t, {says('t')})"
