from collections.abc import Iterable, Sequence

_LEAST = 8  # characters that a column keeps where a table has to be narrower


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, width: int = 0) -> str:
    """Line columns up as kubectl does; the last one is as long as it is.

    Within `width` the widest columns are cut until all fit; 0 for any width.
    """
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    if width:
        widths = _narrowed(widths, width)
        lines = [tuple(_cut(cell, most) for cell, most in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(
        "  ".join((*(cell.ljust(most) for cell, most in zip(line[:-1], widths, strict=False)), line[-1])).rstrip()
        for line in lines
    )


def _narrowed(widths: Sequence[int], width: int) -> list[int]:
    narrowed = list(widths)
    while sum(narrowed) + 2 * (len(narrowed) - 1) > width and max(narrowed) > _LEAST:
        narrowed[narrowed.index(max(narrowed))] -= 1
    return narrowed


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
