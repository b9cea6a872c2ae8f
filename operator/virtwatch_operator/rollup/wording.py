from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

_NAMED = 3


def count(number: int, noun: str) -> str:
    """Write "1 node", "2 nodes"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def names(items: Iterable[str]) -> str:
    """Write the first few names and how many more there are."""
    return listed(sorted(items), most=_NAMED)


def listed(items: Sequence[str], *, most: int) -> str:
    """Write so many of what is in order, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def since(seconds: float) -> str:
    """Write a time in RFC 3339, whole seconds, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
