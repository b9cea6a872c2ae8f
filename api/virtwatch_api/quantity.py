import re
from decimal import Decimal

# Bounded to 1E18 with 15 decimals, so that what `format_quantity` writes of a quantity is a quantity again.
PATTERN = r"^[+-]?(([0-9]{1,18}|10{18})([.][0-9]{1,15})?|[0-9]{1,5}([.][0-9]{1,6})?(m|k|M|G|T|Ki|Mi|Gi|Ti))$"

_QUANTITY = re.compile(PATTERN)
_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGT", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGT", start=1)},
}


def parse_quantity(text: str) -> float:
    """Read a Kubernetes quantity ("0.05", "10m", "1Mi") as a number.

    Raises:
        ValueError: the text is no quantity; the message says what one looks like.
    """
    if not _QUANTITY.fullmatch(text):
        raise ValueError(f'"{text}" is not a quantity; write a number such as "0.05", "10m" or "1Mi"')
    suffix = text.lstrip("+-.0123456789")
    return float(Decimal(text.removesuffix(suffix)) * _FACTORS[suffix])


def format_quantity(value: float) -> str:
    """Write a number so that `parse_quantity` reads the same float back, without an exponent."""
    return format(Decimal(repr(value)).normalize(), "f")
