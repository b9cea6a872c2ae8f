"""Bounds as people write them: a number, a Kubernetes quantity, `90%` of a share, `20ms` of a signal in seconds.

What stands before `%` or `s` is a quantity, so that the API server's CEL reads bounds by the same rule.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from virtwatch_api.catalogue.entries import NOT_NEGATIVE, Range
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.figures import format_value
from virtwatch_api.names import shown
from virtwatch_api.policy import Function
from virtwatch_api.quantity import NUMBER, SUFFIX, parse_quantity

PATTERN = f"^{NUMBER}({SUFFIX}|%|[num]?s)?$"
AMBIGUOUS = f"^{NUMBER}m$"  # thousandths to Kubernetes, minutes to people

_BOUND = re.compile(PATTERN)
_AMBIGUOUS = re.compile(AMBIGUOUS)
_HOURS_OR_MINUTES = re.compile(r"^([0-9.]+h)?([0-9.]+m)?([0-9.]+s)?$")
_ANY = ""  # the unit of a signal that is not known, which is said elsewhere
_EXAMPLES = {"By": '"20Mi" or "1Gi"', "s": '"20ms" or "1.5s"', "1": '"0.9" or "90%"'}


@dataclass(frozen=True, slots=True)
class Scale:
    """Say in which unit and range the values are that a rule judges: its signal's, or what an aggregate makes of it."""

    signal: str
    unit: str
    range: Range

    def format(self, value: float, *, beside: float | None = None) -> str:
        """Write a value as people read it; `beside` is a value from which it must be distinguished."""
        return format_value(value, self.unit, share=self.range.share, beside=beside)

    @property
    def example(self) -> str:
        """Return bounds as one may write them."""
        return _EXAMPLES.get(self.unit.removesuffix("/s"), '5 or "2.5k"')

    @property
    def described(self) -> str:
        """Say what values there are."""
        if self.range.share:
            return f"{self.signal} is a share from 0 to 1"
        return f"{self.signal} is never below {self.range.least:g}"


def scale(signal: str, function: Function = Function.LAST) -> Scale:
    """Return the scale of a signal's aggregate; of an unknown signal, that of any number."""
    entry = SIGNAL.get(signal)
    if entry is None:
        return Scale(signal, _ANY, Range(-math.inf, math.inf))
    if function is Function.RATE:
        return Scale(f"Rate of {signal}", f"{entry.unit}/s", Range(-math.inf, math.inf))
    match function:
        case Function.COUNT:
            return Scale(f"Count of {signal}", "{sample}", NOT_NEGATIVE)
        case Function.SUM:
            return Scale(f"Sum of {signal}", entry.unit, Range(entry.range.least, math.inf))
        case _:
            return Scale(signal, entry.unit, entry.range)


def scale_named(signal: str, function: str) -> Scale:
    """Return the scale of a signal's aggregate that another version may have named; Last where it is not known."""
    return scale(signal, Function(function) if function in tuple(Function) else Function.LAST)


def parse_bound(text: str, of: Scale) -> float:
    """Read a bound in its scale's unit.

    Raises:
        ValueError: the text is no bound of this scale; the message says why, and what to write instead.
    """
    if not _BOUND.fullmatch(text):
        hint = " in seconds" if of.unit == "s" and _HOURS_OR_MINUTES.fullmatch(text) else ""
        raise ValueError(f'must be a number{hint} such as {of.example} (quoted unless whole), not "{shown(text)}"')
    if text.endswith("%"):
        if of.unit not in ("1", _ANY):
            raise ValueError(f'"{text}": % belongs to a signal without unit; write for example {of.example}')
        return parse_quantity(f"{text[:-1]}e-2")
    if text.endswith("s"):
        if of.unit not in ("s", _ANY):
            raise ValueError(f'"{text}" is a time, and {of.signal} is not in seconds; write for example {of.example}')
        return parse_quantity(text[:-1])
    if of.unit == "s" and _AMBIGUOUS.fullmatch(text):
        number = text.removesuffix("m")
        raise ValueError(
            f'"{text}" is ambiguous for a signal in seconds; write "{number}ms" for milliseconds, '
            f'"{_plain(Decimal(number) * 60)}s" for minutes'
        )
    return parse_quantity(text)


def range_problem(value: float, of: Scale, text: str) -> str | None:
    """Say that a value lies outside of what its signal can reach, with a guess at what was meant."""
    if of.range.holds(value):
        return None
    guess = f'; did you mean "{text}%"?' if of.range.share and of.range.holds(value / 100) and "%" not in text else ""
    return f'"{text}" is out of range: {of.described}{guess}'


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")
