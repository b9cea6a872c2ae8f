# Lets the identity of a root span be given away before the span begins: a journal names a trace first, and the spans
# that tell how the entry came about are written when it is done.
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, TraceFlags, Tracer

from virtwatch_telemetry.events import Attribute, nanoseconds
from virtwatch_telemetry.traceparent import inject, span_context


class ReservedIds(RandomIdGenerator):
    """Give random ids, except to a span that is started inside `using`."""

    def __init__(self) -> None:
        self._local = threading.local()

    @contextmanager
    def using(self, span: SpanContext | None) -> Iterator[None]:
        """Give the root span that this thread starts the identity of `span`."""
        self._local.span = span
        try:
            yield
        finally:
            self._local.span = None

    def generate_trace_id(self) -> int:
        """Return the reserved trace id, or a random one."""
        span = self._reserved()
        return span.trace_id if span is not None else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the reserved span id, or a random one."""
        span = self._reserved()
        return span.span_id if span is not None else super().generate_span_id()

    def _reserved(self) -> SpanContext | None:
        return getattr(self._local, "span", None)


class ReservedSpans:
    """Reserve root spans and start them later."""

    def __init__(self, provider: TracerProvider, ids: ReservedIds) -> None:
        self._provider = provider
        self._ids = ids

    def reserve(self, name: str) -> str:
        """Choose the identity of a root span; return its traceparent, sampled as the sampler decides now.

        The SDK's samplers decide by the trace id, so `start` comes to the same decision.
        """
        trace_id = self._ids.generate_trace_id()
        sampled = self._provider.sampler.should_sample(None, trace_id, name).decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags.RANDOM_TRACE_ID | (TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        span = SpanContext(trace_id, self._ids.generate_span_id(), is_remote=False, trace_flags=TraceFlags(flags))
        return inject(NonRecordingSpan(span))

    def start(
        self,
        tracer: Tracer,
        name: str,
        traceparent: str,
        *,
        at: float,
        attributes: Mapping[str, Attribute],
        links: Sequence[Link] = (),
    ) -> Span:
        """Start the reserved span as of `at` (seconds since 1970); with a new identity if `traceparent` is wrong."""
        with self._ids.using(span_context(traceparent)):
            return tracer.start_span(name, Context(), attributes=attributes, links=links, start_time=nanoseconds(at))
