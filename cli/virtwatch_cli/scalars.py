"""What an unquoted scalar of YAML means: as kubectl's YAML library (sigs.k8s.io/yaml) resolves it, then as JSON."""

import math
import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]{1,16}|0[oO]?[0-7]{1,22}|0[bB][01]{1,64}|0|[1-9][0-9]{0,19})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_GREATEST = 2**64 - 1
_WHOLE = 2**63  # whole numbers below it are integers to Kubernetes, others are not


def resolve(text: str) -> Scalar:
    """Return what an unquoted scalar means; dates, and numbers to base 60, are strings."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    plain = text.replace("_", "")
    if text[0] != "." and _INTEGER.fullmatch(plain):
        number = _integer(plain)
        if -_WHOLE <= number <= _GREATEST:
            return number if number < _WHOLE else float(number)
    if _FLOAT.fullmatch(text if text[0] == "." else plain):
        value = float(plain)
        return text if math.isinf(value) else _as_json(value)
    return text


def key(value: Scalar) -> str | None:
    """Return the text that a resolved scalar is as a key; None where JSON has no such key."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _integer(text: str) -> int:
    digits = text.lstrip("+-").lower()
    sign = -1 if text.startswith("-") else 1
    if len(digits) > 1 and digits[0] == "0" and digits[1] not in "xob":
        digits = f"0o{digits[1:]}"
    return sign * int(digits, 0)


def _as_json(value: float) -> int | float:
    return int(value) if value.is_integer() and abs(value) < _WHOLE else value
