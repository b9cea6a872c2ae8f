"""Draw a trace as a tree: one line per span, with when it began within the trace and how long it took."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Span:
    """One span of a trace; times in microseconds, `start` since 1970."""

    id: str
    parent: str
    name: str
    service: str
    start: int
    duration: int


def spans(trace: Mapping[str, Any]) -> list[Span]:
    """Read the spans of a trace in Jaeger's JSON, the earliest first."""
    read = [
        Span(
            id=span["spanID"],
            parent=_parent(span),
            name=span["operationName"],
            service=trace["processes"][span["processID"]]["serviceName"],
            start=span["startTime"],
            duration=span["duration"],
        )
        for span in trace.get("spans", [])
    ]
    return sorted(read, key=lambda span: (span.start, span.duration, span.id))


def draw(found: Sequence[Span]) -> list[str]:
    """Return the tree's lines. A span whose parent is not in the trace (yet) stands at the top."""
    known = {span.id for span in found}
    rows = [row for top in found if top.parent not in known for row in _rows(top, found)]
    names, services = (
        max(map(len, column), default=0) for column in ([n for n, _ in rows], [s.service for s in found])
    )
    return [
        f"{name:{names}}  {span.service:{services}}  at {_milliseconds(span.start - found[0].start)}"
        f"  took {_milliseconds(span.duration)}"
        for name, span in rows
    ]


def _rows(span: Span, found: Sequence[Span], *, name: str = "", indent: str = "") -> Iterator[tuple[str, Span]]:
    yield f"{name}{span.name}", span
    children = [child for child in found if child.parent == span.id]
    for child in children:
        last = child is children[-1]
        yield from _rows(
            child, found, name=indent + ("└─ " if last else "├─ "), indent=indent + ("   " if last else "│  ")
        )


def _parent(span: Mapping[str, Any]) -> str:
    # References to other traces are links, not parents.
    parents = (
        reference["spanID"]
        for reference in span.get("references", [])
        if (reference["refType"], reference["traceID"]) == ("CHILD_OF", span["traceID"])
    )
    return next(parents, "")


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:8.1f} ms"
