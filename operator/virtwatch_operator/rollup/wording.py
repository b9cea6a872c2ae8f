from collections.abc import Iterable
from datetime import UTC, datetime

_NAMED = 3


def count(number: int, noun: str) -> str:
    """Write "1 node", "2 nodes"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def names(items: Iterable[str]) -> str:
    """Write the first few names and how many more there are."""
    ordered = sorted(items)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more


def since(seconds: float) -> str:
    """Write a time in RFC 3339, whole seconds, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
