"""One pattern that matches dotted names and no others, a third as long as their list: a CRD's size is limited."""

from collections.abc import Iterable

_DOT = "[.]"


def pattern_of(names: Iterable[str]) -> str:
    """Return the anchored pattern that matches exactly these names, which share their first parts."""
    return f"^{_branches([name.split('.') for name in names])}$"


def _branches(paths: list[list[str]]) -> str:
    following: dict[str, list[list[str]]] = {}
    for first, *rest in paths:
        following.setdefault(first, []).append(rest)
    by_rest: dict[str, list[str]] = {}
    for first, rests in following.items():
        by_rest.setdefault(_after(rests), []).append(first)
    ending = by_rest.pop("", [])
    return _either([*ending, *(_either(firsts) + rest for rest, firsts in by_rest.items())])


def _after(rests: list[list[str]]) -> str:
    """Return the pattern of what follows a part: nothing where a name ends there."""
    longer = [rest for rest in rests if rest]
    if not longer:
        return ""
    more = _DOT + _branches(longer)
    return more if len(longer) == len(rests) else f"({more})?"


def _either(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"({'|'.join(texts)})"
