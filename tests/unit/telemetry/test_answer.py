import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from virtwatch_telemetry.answer import judge
from virtwatch_telemetry.settings import Signal

_WHY = "quota exceeded"
_PARTIAL = {
    Signal.TRACES: ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=3, error_message=_WHY)
    ),
    Signal.METRICS: ExportMetricsServiceResponse(
        partial_success=ExportMetricsPartialSuccess(rejected_data_points=3, error_message=_WHY)
    ),
    Signal.LOGS: ExportLogsServiceResponse(
        partial_success=ExportLogsPartialSuccess(rejected_log_records=3, error_message=_WHY)
    ),
}


@pytest.mark.parametrize("signal", Signal)
def test_an_empty_200_means_that_everything_was_accepted(signal):
    assert judge(signal, 200, {}, b"") is None


@pytest.mark.parametrize("signal", Signal)
def test_a_partial_success_is_a_failure_that_repeats_the_backends_reason(signal):
    failure = judge(signal, 200, {}, _PARTIAL[signal].SerializeToString())
    assert failure is not None
    assert (failure.what, failure.detail) == ("it rejected items", " (3: quota exceeded)")
    assert not failure.retryable


def test_a_warning_without_rejected_items_is_no_failure():
    answer = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(error_message="slow down"))
    assert judge(Signal.TRACES, 200, {}, answer.SerializeToString()) is None


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_that_names_its_target(status):
    failure = judge(Signal.TRACES, status, {"Location": "https://elsewhere/v1/traces?token=x"}, b"")
    assert failure is not None
    assert failure.detail == ", pointing to https://elsewhere/v1/traces"
    assert "final URL" in failure.advice
    assert not failure.retryable


def test_a_page_of_another_server_is_not_taken_for_success():
    failure = judge(Signal.LOGS, 200, {}, b"<html>Welcome to nginx</html>")
    assert failure is not None
    assert failure.what == "its answer is no OTLP"


@pytest.mark.parametrize(("status", "retryable"), [(429, True), (503, True), (400, False), (404, False), (500, False)])
def test_only_what_the_specification_lists_is_retried(status, retryable):
    failure = judge(Signal.METRICS, status, {}, b"")
    assert failure is not None
    assert failure.retryable is retryable


def test_404_says_how_to_turn_the_signal_off():
    failure = judge(Signal.METRICS, 404, {}, b"")
    assert failure is not None
    assert "OTEL_METRICS_EXPORTER=none" in failure.advice


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("-3", 0.0), ("soon", None), ("", None)])
def test_retry_after_is_read_in_seconds(text, seconds):
    failure = judge(Signal.METRICS, 503, {"Retry-After": text}, b"")
    assert failure is not None
    assert failure.retry_after == seconds


def test_retry_after_may_be_a_date():
    failure = judge(Signal.METRICS, 503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"")
    assert failure is not None
    assert failure.retry_after == 0.0
