"""Durations as policies write them: "500ms", "15s", "1h30m"."""

import re

# Bounded, so that no text can overflow the nanoseconds in which the API server's CEL counts.
PATTERN = r"^([0-9]{1,5}(ms|s|m|h)){1,4}$"
MAX_LENGTH = 16

_DURATION = re.compile(PATTERN)
_PART = re.compile(r"([0-9]+)(ms|s|m|h)")
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def parse_duration(text: str) -> float:
    """Read a duration ("500ms", "15s", "1h30m") in seconds.

    Raises:
        ValueError: the text is no duration; the message says what one looks like.
    """
    if len(text) > MAX_LENGTH or not _DURATION.fullmatch(text):
        raise ValueError(f'"{text}" is not a duration; write for example "500ms", "15s", "2m" or "1h30m"')
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text)) / 1000


def format_duration(seconds: float) -> str:
    """Write seconds as the shortest duration text, exact to the millisecond."""
    rest = round(seconds * 1000)
    parts = []
    for unit in ("h", "m", "s", "ms"):
        count, rest = divmod(rest, _MILLISECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
