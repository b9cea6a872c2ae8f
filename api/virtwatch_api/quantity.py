"""Numbers as Kubernetes writes them, and as a ThresholdSet holds them."""

import re
from decimal import Decimal

NUMBER = r"[+-]?[0-9]{1,18}([.][0-9]{1,15})?"
SUFFIX = r"([eE][+-]?[0-9]{1,2}|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)"
PATTERN = f"^{NUMBER}{SUFFIX}?$"
MAX_LENGTH = 40

_QUANTITY = re.compile(PATTERN)
_PARTS = re.compile(r"([^eEA-Za-z]+)(.*)")
_PLAIN = re.compile(r"^-?[0-9]{1,160}([.][0-9]{1,400})?$")
_FACTORS = {
    "": Decimal(1),
    **{suffix: Decimal(1000) ** -power for power, suffix in enumerate("mun", start=1)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


def parse_quantity(text: str) -> float:
    """Read a Kubernetes quantity ("0.05", "10m", "1Mi", "129e6") as a number.

    Raises:
        ValueError: the text is no quantity; the message says what one looks like.
    """
    found = _PARTS.fullmatch(text) if _QUANTITY.fullmatch(text) else None
    if found is None:
        raise ValueError(f'"{text}" is not a quantity; write a number such as "0.05", "10m" or "1Mi"')
    number, suffix = found.groups()
    factor = _FACTORS.get(suffix)
    return float(Decimal(text) if factor is None else Decimal(number) * factor)


def parse_number(text: str) -> float:
    """Read a plain number, as `format_number` writes it.

    Raises:
        ValueError: the text is no such number.
    """
    if not _PLAIN.fullmatch(text):
        raise ValueError(f'"{text}" is not a plain number')
    return float(text)


def format_number(value: float) -> str:
    """Write a number so that `parse_number` reads the same float back, without an exponent."""
    return format(Decimal(repr(value)).normalize(), "f")
