"""Tells a transition as spans: what was seen, how it was judged, when it was safe on disk."""

from typing import TYPE_CHECKING

from opentelemetry.trace import Span, SpanKind, Tracer, set_span_in_context

from virtwatch_agent.observations import Sample, TargetEvent
from virtwatch_agent.telemetry.hashed_names import Names
from virtwatch_agent.telemetry.identity import Attributes, alert_attributes
from virtwatch_api.nodemonitor import Transition
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_telemetry.events import nanoseconds
from virtwatch_telemetry.traceparent import links, parent

if TYPE_CHECKING:
    from virtwatch_telemetry.reserved import ReservedSpans

ROOT = "virtwatch.transition"


def emit_transition(
    tracer: Tracer,
    reserved: "ReservedSpans",
    transition: Transition,
    *,
    names: Names,
    thresholds: ThresholdSet | None,
    cause: Sample | TargetEvent | None,
    judged: float,
    journaled: float,
) -> Span:
    """Emit the trace that was reserved for a transition; times in seconds since 1970. Return its ended root."""
    seen = cause.at if cause is not None else judged
    root = reserved.start(
        tracer,
        ROOT,
        transition.traceparent,
        at=seen,
        attributes=alert_attributes(transition, names),
        links=links(thresholds.traceparent) if thresholds is not None else [],
    )
    if cause is not None:
        name = "virtwatch.sample" if isinstance(cause, Sample) else "virtwatch.event"
        # When it was seen is known, not for how long it was looked at.
        _child(tracer, root, name, seen, seen, _cause_attributes(cause))
    _child(tracer, root, "virtwatch.judge", seen, judged, {})
    _child(tracer, root, "virtwatch.journal", judged, journaled, {"virtwatch.transition.sequence": transition.sequence})
    root.end(nanoseconds(max(journaled, seen)))
    return root


def emit_applied(
    tracer: Tracer, thresholds: ThresholdSet, *, names: Names, started: float, ended: float, virtual_machines: int
) -> None:
    """Emit the span of applying a ThresholdSet as a child of the policy's trace; times in seconds since 1970."""
    policy = thresholds.policy
    attributes: Attributes = {
        "virtwatch.policy.kind": policy.kind.value,
        "virtwatch.policy.name": policy.name,
        **({"virtwatch.policy.namespace": names.of(policy.namespace)} if policy.namespace else {}),
        "virtwatch.policy.generation": thresholds.generation,
        "virtwatch.policy.hash": thresholds.hash,
        "virtwatch.policy.virtual_machines": virtual_machines,
    }
    span = tracer.start_span(
        "virtwatch.apply",
        parent(thresholds.traceparent),
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        start_time=nanoseconds(started),
    )
    span.end(nanoseconds(max(ended, started)))


def _cause_attributes(cause: Sample | TargetEvent) -> Attributes:
    if isinstance(cause, Sample):
        return {"virtwatch.source": cause.source.value, "virtwatch.sample.readings": len(cause.values)}
    return {"virtwatch.event.type": cause.type, "virtwatch.event.inferred": cause.inferred}


def _child(tracer: Tracer, root: Span, name: str, start: float, end: float, attributes: Attributes) -> None:
    context = set_span_in_context(root)
    span = tracer.start_span(name, context, attributes=attributes, start_time=nanoseconds(start))
    # A clock that was set back must not make a span that ends before it began.
    span.end(nanoseconds(max(start, end)))
