"""Series of input values in the notation of promtool: `1 2 3`, `0+5x10`, `7x3`, `_x5` (missing)."""

import math
import re
from collections.abc import Iterator

MOST_VALUES = 100_000
_SIZE = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ITEM = re.compile(rf"(?:(?P<start>[-+]?{_SIZE})(?P<step>[-+]{_SIZE})?|(?P<gap>_))(?:x(?P<times>\d+))?$")


def expand(text: str) -> list[float | None]:
    """Return the values of a series; None where no sample comes.

    `ax3` is a and three more a, `a+bx3` is a, a+b, a+2b, a+3b, `_x3` are three samples that do not come.

    Raises:
        ValueError: the text is no series; the message says which part.
    """
    values = [value for item in text.split() for value in _item(item)]
    if len(values) > MOST_VALUES:
        raise ValueError(f"has more than {MOST_VALUES} values")
    return values


def _item(item: str) -> Iterator[float | None]:
    read = _ITEM.match(item)
    if read is None:
        raise ValueError(f'"{item}" is no value; write 5, 5x10, 0+5x10 or _x10')
    times = min(int(read["times"] or 0), MOST_VALUES + 1)
    if read["gap"]:
        yield from [None] * max(1, times)
        return
    start, step = float(read["start"]), float(read["step"] or 0)
    if step and not read["times"]:
        raise ValueError(f'"{item}" needs a number of steps, as in {item}x10')
    for index in range(times + 1):
        value = start + index * step
        if not math.isfinite(value):
            raise ValueError(f'"{item}" is larger than any number that a signal can have')
        yield value
