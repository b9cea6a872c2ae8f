# Carries a span's identity through Kubernetes objects as W3C traceparent, and only that: no baggage, no tracestate.
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


def inject(span: Span) -> str:
    """Write a span's traceparent, empty for a span that is nowhere (no tracing set up)."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context=set_span_in_context(span, Context()))
    return carrier.get("traceparent", "")


def parent(traceparent: str) -> Context:
    """Return the context in which a span becomes a child of that one; a new root where the text is not valid."""
    return _PROPAGATOR.extract({"traceparent": traceparent}, context=Context())


def span_context(traceparent: str) -> SpanContext | None:
    """Return the identity of the span that a traceparent names, None where the text is not valid."""
    found = get_current_span(parent(traceparent)).get_span_context()
    return found if found.is_valid else None


def links(traceparent: str) -> list[Link]:
    """Return a link to the span that a traceparent names, none where the text is not valid."""
    found = span_context(traceparent)
    return [Link(found)] if found is not None else []
