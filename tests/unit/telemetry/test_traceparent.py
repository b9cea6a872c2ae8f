import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import INVALID_SPAN

from virtwatch_telemetry.reserved import ReservedIds, ReservedSpans
from virtwatch_telemetry.traceparent import inject, links, parent, span_context

_VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03"


def _spans(sampler):
    ids = ReservedIds()
    provider = TracerProvider(sampler=sampler, id_generator=ids, shutdown_on_exit=False)
    return ReservedSpans(provider, ids), provider.get_tracer("test")


def test_a_span_that_is_nowhere_has_no_traceparent():
    assert inject(INVALID_SPAN) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)
def test_a_traceparent_that_is_not_valid_gives_no_link_and_no_parent(text):
    assert span_context(text) is None
    assert links(text) == []
    assert parent(text) == {}


def test_a_traceparent_gives_a_link_and_a_parent_with_its_ids():
    (link,) = links(_VALID)
    assert f"{link.context.trace_id:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736"
    _, tracer = _spans(ALWAYS_ON)
    child = tracer.start_span("child", parent(_VALID))
    assert child.get_span_context().trace_id == link.context.trace_id


@given(st.text())
def test_no_text_makes_reading_a_traceparent_raise(text):
    assert len(links(text)) <= 1


@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF, ParentBased(TraceIdRatioBased(0.5))])
def test_a_reserved_span_starts_with_the_identity_and_the_sampling_that_were_given_away(sampler):
    reserved, tracer = _spans(sampler)
    for _ in range(50):
        traceparent = reserved.reserve("root")
        span = reserved.start(tracer, "root", traceparent, at=1.0, attributes={})
        assert inject(span) == traceparent
        assert span.is_recording() is span.get_span_context().trace_flags.sampled


def test_spans_beside_a_reserved_one_have_identities_of_their_own():
    reserved, tracer = _spans(ALWAYS_ON)
    traceparent = reserved.reserve("root")
    reserved.start(tracer, "root", traceparent, at=1.0, attributes={})
    assert inject(tracer.start_span("other"))[3:35] != traceparent[3:35]
