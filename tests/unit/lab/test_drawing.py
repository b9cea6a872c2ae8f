from typing import Any

from lab.demo.drawing import draw, spans

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def span(
    name: str, *, own: str, start: int, duration: int, parent: str = "", process: str = "p1", trace: str = TRACE
) -> dict[str, Any]:
    references = [{"refType": "CHILD_OF", "traceID": trace, "spanID": parent}] if parent else []
    return {
        "traceID": TRACE,
        "spanID": own,
        "operationName": name,
        "references": references,
        "startTime": 1_790_000_000_000_000 + start,
        "duration": duration,
        "processID": process,
    }


def trace(*found: dict[str, Any]) -> dict[str, Any]:
    return {"spans": list(found), "processes": {"p1": {"serviceName": "agent"}, "p2": {"serviceName": "operator"}}}


def drawn(*found: dict[str, Any]) -> list[str]:
    return draw(spans(trace(*found)))


def test_a_trace_is_drawn_as_a_tree_with_milliseconds() -> None:
    assert drawn(
        span("announce", own="d", parent="a", start=60_000, duration=40_000, process="p2"),
        span("transition", own="a", start=0, duration=50_000),
        span("journal", own="c", parent="a", start=25_000, duration=25_000),
        span("sample", own="b", parent="a", start=0, duration=500),
        span("Event", own="e", parent="d", start=75_000, duration=25_000, process="p2"),
    ) == [
        "transition   agent     at      0.0 ms  took     50.0 ms",
        "├─ sample    agent     at      0.0 ms  took      0.5 ms",
        "├─ journal   agent     at     25.0 ms  took     25.0 ms",
        "└─ announce  operator  at     60.0 ms  took     40.0 ms",
        "   └─ Event  operator  at     75.0 ms  took     25.0 ms",
    ]


def test_a_line_leads_down_past_a_branch_that_goes_on() -> None:
    lines = drawn(
        span("root", own="a", start=0, duration=9),
        span("first", own="b", parent="a", start=1, duration=3),
        span("inner", own="c", parent="b", start=2, duration=1),
        span("second", own="d", parent="a", start=5, duration=1),
    )
    assert [line.split("  agent")[0].rstrip() for line in lines] == [
        "root",
        "├─ first",
        "│  └─ inner",
        "└─ second",
    ]


def test_of_spans_that_start_together_the_shorter_comes_first() -> None:
    lines = drawn(
        span("root", own="a", start=0, duration=9),
        span("judge", own="b", parent="a", start=0, duration=3),
        span("sample", own="c", parent="a", start=0, duration=0),
    )
    assert [line.split()[1] for line in lines[1:]] == ["sample", "judge"]


def test_a_span_whose_parent_is_not_there_stands_at_the_top() -> None:
    assert drawn(span("orphan", own="b", parent="a", start=0, duration=1))[0].startswith("orphan")


def test_a_link_to_another_trace_is_no_parent() -> None:
    (read,) = spans(trace(span("linked", own="b", parent="a", start=0, duration=1, trace="f" * 32)))
    assert read.parent == ""


def test_no_spans_draw_nothing() -> None:
    assert draw(spans({})) == []
