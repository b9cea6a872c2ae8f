"""How values of a unit are written for people, in one place: `45Mi`, `12 %`, `3.2 ms`, never an exponent."""

import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = ("", "k", "M", "G", "T", "P", "E")
_DIGITS = 3  # significant digits
_MOST_DIGITS = 12  # to which values are written that must be distinguished
_NOTHING = 1e-9  # what is smaller reads 0
_MINUTE, _HOUR = 60, 3600
_AMOUNT = re.compile(r"(-?\d+(?:[.]\d+)?) ?(%|ms|µs|s|B|[KMGTPE]i|[kMGTPE])(?:/s)?")
_TIME = re.compile(r"(-?)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_FACTORS = {
    "%": Decimal("0.01"),
    "ms": Decimal("0.001"),
    "µs": Decimal("0.000001"),
    "s": Decimal(1),
    "B": Decimal(1),
    **{prefix: Decimal(1000) ** power for power, prefix in enumerate(_DECIMAL) if prefix},
    **{prefix: Decimal(1024) ** power for power, prefix in enumerate(_BINARY) if prefix},
}


@lru_cache(maxsize=1_000)  # the value and the bound of an alert stand in its sentence and in its evidence
def format_value(value: float, unit: str, *, share: bool = False, beside: float | None = None) -> str:
    """Write a value in three significant digits, as people read values of its unit.

    `share` says that a value without unit is a share of 1, written in percent. `beside` is a value that stands in the
    same sentence: where both are not equal they are not written the same.
    """
    write = _writer(unit, share=share)
    digits = _DIGITS
    while (
        beside is not None
        and beside != value
        and digits < _MOST_DIGITS
        and write(value, digits) == write(beside, digits)
    ):
        digits += 1
    return write(value, digits)


def parse_value(text: str) -> float:
    """Read a value as `format_value` writes it, or a plain number, in its unit without prefix.

    Raises:
        ValueError: the text is no such value.
    """
    if found := _AMOUNT.fullmatch(text):
        return float(Decimal(found[1]) * _FACTORS[found[2]])
    found = _TIME.fullmatch(text)
    if found and any(found.groups()[1:]):
        hours, minutes, seconds = (int(part or 0) for part in found.groups()[1:])
        return float(f"{found[1]}{hours * _HOUR + minutes * _MINUTE + seconds}")
    return float(text.removesuffix("/s"))


def _writer(unit: str, *, share: bool) -> Callable[[float, int], str]:
    amount, per_second = unit.removesuffix("/s"), "/s" if unit.endswith("/s") else ""
    match amount:
        case "By":
            return lambda value, digits: _bytes(value, digits) + per_second
        case "s":
            return _seconds
        case "1" if share:
            return lambda value, digits: f"{_number(value * 100, digits)} %"
        case _:
            return lambda value, digits: _scaled(value, digits, _DECIMAL, 1000) + per_second


def _bytes(value: float, digits: int) -> str:
    text = _scaled(value, digits, _BINARY, 1024)
    return text if text.endswith("i") else f"{text} B"


def _seconds(value: float, digits: int) -> str:
    size = abs(_rounded(value, digits))
    if size * 1e6 < _NOTHING:
        return "0 s"
    if size < 1e-3:
        return f"{_number(value * 1e6, digits)} µs"
    if size < 1:
        return f"{_number(value * 1e3, digits)} ms"
    if size < 2 * _MINUTE or digits > _DIGITS or not math.isfinite(value):
        return f"{_number(value, digits)} s"
    whole, sign = round(abs(value)), "-" if value < 0 else ""
    hours, minutes, seconds = whole // _HOUR, whole % _HOUR // _MINUTE, whole % _MINUTE
    parts = ((hours, "h"), (minutes, "m"), (seconds if not hours else 0, "s"))
    return sign + "".join(f"{count}{name}" for count, name in parts if count)


def _scaled(value: float, digits: int, prefixes: tuple[str, ...], base: int) -> str:
    power = 0
    # Rounded first: 1023.9 MiB in three digits is 1Gi, not 1024Mi.
    while abs(_rounded(value, digits)) >= base and power < len(prefixes) - 1:
        value, power = value / base, power + 1
    return _number(value, digits) + prefixes[power]


def _number(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return str(value)
    rounded = _rounded(value, digits)
    if abs(rounded) < _NOTHING:
        return "0"
    text = f"{rounded:.{max(0, digits - _magnitude(rounded) - 1)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rounded(value: float, digits: int) -> float:
    # Digits before the point are all kept: 1005 MiB must not read 1000Mi...
    if value == 0 or not math.isfinite(value):
        return 0.0 if value == 0 else value
    return round(value, max(0, digits - _magnitude(value) - 1))


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value)))
