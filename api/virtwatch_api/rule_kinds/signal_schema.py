"""The CRDs' schemas of what rules on signals share: signal, aggregate, bounds and timers."""

from collections.abc import Sequence

from virtwatch_api import bounds
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.signals import Signal
from virtwatch_api.policy import Function, MissingData
from virtwatch_api.quantity import MAX_LENGTH
from virtwatch_api.rule_kinds.kind import Json
from virtwatch_api.rule_kinds.name_pattern import pattern_of
from virtwatch_api.rule_kinds.schema import MAX_ENTRY, duration_field, quoted, validation, words
from virtwatch_api.rule_kinds.signal_fields import signals_of

_COUNTS_OR_GROWTH = (Function.COUNT, Function.RATE)  # in another unit than the signal's
_BEYOND = (*_COUNTS_OR_GROWTH, Function.SUM)  # in another range


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


def compared_field(targets: Sequence[TargetKind]) -> Json:
    """Describe a signal's name where conditions repeat it: by a pattern, which is shorter than the list."""
    return {
        "description": "The signal to compare, as in threshold.signal.",
        "type": "string",
        "maxLength": MAX_ENTRY,
        "x-kubernetes-validations": [
            validation(
                _known(signals_of(targets)),
                "unknown signal; threshold.signal and `virtwatch signals` list those there are",
            )
        ],
    }


def aggregate_field(*, default: bool = True, explained: bool = True) -> Json:
    """Describe an aggregate; by `default` it is there, as Last; `explained` says what the functions do."""
    return {
        "description": (
            "How the samples of a device become the judged value; by default the last sample."
            if explained
            else "As in threshold.aggregate."
        ),
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
                "description": "As in threshold.aggregate.function."
                if not explained
                else (
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
                "collection.interval, or than twice that for Rate, samples are taken as often as it needs."
                if explained
                else "As in threshold.aggregate.window.",
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
    number = _quantity(text)
    return f"(isQuantity({number}) ? quantity({number}).asApproximateFloat() : 0.0)"


def compared(text: str, sign: str, other: str) -> str:
    """Return the CEL text that compares two bounds exactly, for `30%` and `"0.3"` differ as floats.

    Where one is no bound, which its own field says, it is true.
    """
    one, two = _quantity(text), _quantity(other)
    return f"!isQuantity({one}) || !isQuantity({two}) || quantity({one}).compareTo(quantity({two})) {sign} 0"


def _quantity(text: str) -> str:
    """Return the CEL text of a bound as a Kubernetes quantity: a share in percent, a time in seconds."""
    return f"{text}.replace('%', 'e-2').replace('s', '')"


def bound_rules(
    targets: Sequence[TargetKind], places: Sequence[str], *, function: str, optional: bool = False
) -> list[Json]:
    """Return the CEL rules that hold bounds against the unit and range of `self.signal`.

    `places` are the objects that hold bounds, `function` is the aggregate's function, both as CEL texts; `optional`
    says that there may be no signal.
    """
    found = signals_of(targets)
    given = "!has(self.signal) || " if optional else ""  # of what may be a group of comparisons
    of_values = f"!({function} in {words(_COUNTS_OR_GROWTH)})"
    unitless = f"{_among([item for item in found if item.unit == '1'], found)} && {of_values}"
    seconds = f"{_among([item for item in found if item.unit == 's'], found)} && {of_values}"
    share = f"{_among([item for item in found if item.range.share], found)} && !({function} in {words(_BEYOND)})"
    no_percent = _all(places, "!t.endsWith('%')")
    a_time = _all(places, f"{seconds} ? !t.endsWith('m') : !t.endsWith('s')")
    reached = _all_numbers(places, "<= 1.0", ("below", "recover")) + " && " + _all_numbers(places, "< 1.0", ("above",))
    passed = _all_numbers(places, ">= 0.0", ("above", "recover")) + " && " + _all_numbers(places, "> 0.0", ("below",))
    return [
        validation(f"{given}{unitless} || {no_percent}", "% belongs to a signal without unit"),
        validation(
            f"{given}{a_time}",
            "a time belongs to a signal in seconds, where m is ambiguous: "
            'write for example "20ms" for milliseconds, "1200s" for minutes',
        ),
        validation(
            f"{given}!({share}) || {reached}",
            'out of range: the signal is a share from 0 to 1, and never above 1; write for example "0.9" or "90%"',
        ),
        validation(f"{given}{function} == 'Rate' || {passed}", "out of range: the signal is never below 0"),
    ]


def _known(signals: Sequence[Signal]) -> str:
    """Return the CEL text that says that a name is a signal's.

    The API server reckons what a pattern costs by its length, and of alternatives only the dearest.
    """
    said = "false"
    for target in {item.target: None for item in signals}:
        names = [item.name for item in signals if item.target is target]
        first = names[0].partition(".")[0]
        said = f"self.startsWith('{first}.') ? self.matches({quoted(pattern_of(names))}) : {said}"
    return said


def _among(some: Sequence[Signal], found: Sequence[Signal]) -> str:
    """Return the CEL text that says that the signal is one of `some`: by the ends of names, which is short."""
    ends = sorted({item.name.rpartition(".")[2] for item in some})
    fits = [item for item in found if item.name.rpartition(".")[2] in ends]
    others = [item.name for item in fits if item not in some]
    ending = f"self.signal.matches('[.]({'|'.join(ends)})$')"
    return ending + (f" && !self.signal.matches({quoted(pattern_of(others))})" if others else "")


_SIDES = ("above", "below", "recover")


def _all(places: Sequence[str], says: str) -> str:
    """Return the CEL text that says something of each bound `t` that is there."""
    return f"{_held(places, _SIDES)}.map(t, string(t)).all(t, {says})"


def _all_numbers(places: Sequence[str], says: str, sides: Sequence[str] = _SIDES) -> str:
    """Return the CEL text that says something of the number of each bound that is there."""
    numbers = f"{_held(places, sides)}.map(t, {_quantity('string(t)')})"
    return f"{numbers}.all(t, !isQuantity(t) || quantity(t).asApproximateFloat() {says})"


def _held(places: Sequence[str], sides: Sequence[str]) -> str:
    """List bounds that are there; a comparison has no recover."""
    held = (
        f"?{place.replace('.', '.?')}.?{side}"
        for place in places
        for side in sides
        if place != "self" or side != "recover"
    )
    return f"[{', '.join(held)}]"
