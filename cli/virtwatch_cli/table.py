"""Tables of text, in the columns that a terminal gives each character."""

import unicodedata
from collections.abc import Iterable, Sequence

_LEAST = 8  # columns that a cell keeps where a table has to be narrower


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, width: int = 0) -> str:
    """Line columns up as kubectl does; the last one is as long as it is.

    Within `width` the widest columns are cut until all fit; 0 for any width.
    """
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(width_of(line[column]) for line in lines) for column in range(len(header))]
    if width:
        widths = _narrowed(widths, width)
        lines = [tuple(_cut(cell, most) for cell, most in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(
        "  ".join((*(padded(cell, most) for cell, most in zip(line[:-1], widths, strict=False)), line[-1])).rstrip()
        for line in lines
    )


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a wide character, none for a combining one."""
    return len(text) if text.isascii() else sum(map(_width, text))


def padded(text: str, width: int) -> str:
    """Return a text with the spaces that it needs to take `width` columns."""
    return text + " " * (width - width_of(text))


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _narrowed(widths: Sequence[int], width: int) -> list[int]:
    narrowed = list(widths)
    while sum(narrowed) + 2 * (len(narrowed) - 1) > width and max(narrowed) > _LEAST:
        narrowed[narrowed.index(max(narrowed))] -= 1
    return narrowed


def _cut(text: str, most: int) -> str:
    if width_of(text) <= most:
        return text
    while width_of(text) > most - 1:
        text = text[:-1]
    return f"{text}…"
