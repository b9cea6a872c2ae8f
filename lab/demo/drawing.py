"""Draw a trace as a tree with bars, one line per span."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BAR_WIDTH = 24
FULL, EMPTY = "█", "·"


@dataclass(frozen=True, slots=True)
class Span:
    """One span of a trace; times in microseconds, `start` since 1970."""

    id: str
    parent: str
    name: str
    service: str
    start: int
    duration: int

    @property
    def end(self) -> int:
        return self.start + self.duration


def spans(trace: Mapping[str, Any]) -> list[Span]:
    """Read the spans of a trace in Jaeger's JSON, the earliest first."""
    services = {key: process["serviceName"] for key, process in trace.get("processes", {}).items()}
    read = [
        Span(
            id=span["spanID"],
            parent=_parent(span),
            name=span["operationName"],
            service=services.get(span["processID"], "?"),
            start=span["startTime"],
            duration=span["duration"],
        )
        for span in trace.get("spans", [])
    ]
    return sorted(read, key=lambda span: (span.start, span.duration, span.id))


def draw(found: Sequence[Span]) -> list[str]:
    """Return the tree's lines: name, service, when it ran within the trace, milliseconds from its start, its length.

    A span whose parent is not in the trace (yet) stands at the top.
    """
    if not found:
        return []
    begin, end = min(span.start for span in found), max(span.end for span in found)
    rows = list(_rows(found))
    names = max(len(label) for label, _ in rows)
    services = max(len(span.service) for _, span in rows)
    lines = [f"{'span':{names}}  {'service':{services}}  {'':{BAR_WIDTH}}  {'at':>10}  {'took':>10}"]
    for label, span in rows:
        bar = _bar(span, begin=begin, length=end - begin)
        at, took = _milliseconds(span.start - begin), _milliseconds(span.duration)
        lines.append(f"{label:{names}}  {span.service:{services}}  {bar}  {at:>10}  {took:>10}")
    return lines


def _parent(span: Mapping[str, Any]) -> str:
    # References to other traces are links, not parents.
    parents = (
        reference["spanID"]
        for reference in span.get("references", [])
        if reference["refType"] == "CHILD_OF" and reference["traceID"] == span["traceID"]
    )
    return next(parents, "")


def _rows(found: Sequence[Span]) -> Iterator[tuple[str, Span]]:
    children: dict[str, list[Span]] = defaultdict(list)
    known = {span.id for span in found}
    for span in found:
        children[span.parent if span.parent in known else ""].append(span)
    for top in children[""]:
        yield top.name, top
        yield from _below(top, children, indent="")


def _below(span: Span, children: Mapping[str, list[Span]], *, indent: str) -> Iterable[tuple[str, Span]]:
    below = children.get(span.id, [])
    for number, child in enumerate(below, start=1):
        last = number == len(below)
        yield f"{indent}{'└─ ' if last else '├─ '}{child.name}", child
        yield from _below(child, children, indent=indent + ("   " if last else "│  "))


def _bar(span: Span, *, begin: int, length: int) -> str:
    """Place the span within the trace; the shortest one still shows."""
    scale = BAR_WIDTH / max(length, 1)
    first = min(int((span.start - begin) * scale), BAR_WIDTH - 1)
    cells = max(1, min(round(span.duration * scale), BAR_WIDTH - first))
    return EMPTY * first + FULL * cells + EMPTY * (BAR_WIDTH - first - cells)


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:.1f} ms"
