# Decides what an OTLP/HTTP answer means. A redirect and a partial success are failures: both lose data.
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from virtwatch_telemetry.outage import Failure
from virtwatch_telemetry.settings import Signal

_RETRYABLE = frozenset((429, 502, 503, 504))  # the OTLP specification's list
_TEXT = 200  # characters of foreign text that a message repeats at most


def judge(signal: Signal, status: int, headers: Mapping[str, str], body: bytes) -> Failure | None:
    """Return why an answer is a failure, None when everything was accepted."""
    if 200 <= status < 300:
        return _partial(signal, body)
    what = f"it answered {status} {_phrase(status)}"
    if 300 <= status < 400:
        where = headers.get("Location", "").partition("?")[0][:_TEXT]
        pointing = f", pointing to {where}" if where else ""
        return Failure(
            what,
            "redirects are not followed: set the endpoint to its final URL",
            retryable=False,
            detail=pointing,
        )
    return Failure(what, _advice(signal, status), status in _RETRYABLE, _retry_after(headers.get("Retry-After", "")))


def _partial(signal: Signal, body: bytes) -> Failure | None:
    try:
        rejected, message = _rejected(signal, body)
    except DecodeError:
        advice = "something else than an OTLP receiver answers there: check the endpoint's host, port and path"
        return Failure("its answer is no OTLP", advice, retryable=False)
    if not rejected:
        return None
    why = f": {message[:_TEXT]}" if message else ""
    return Failure(
        "it rejected items", "the backend's own log says more", retryable=False, detail=f" ({rejected}{why})"
    )


def _rejected(signal: Signal, body: bytes) -> tuple[int, str]:
    match signal:
        case Signal.TRACES:
            traces = ExportTraceServiceResponse.FromString(body).partial_success
            return traces.rejected_spans, traces.error_message
        case Signal.METRICS:
            metrics = ExportMetricsServiceResponse.FromString(body).partial_success
            return metrics.rejected_data_points, metrics.error_message
        case Signal.LOGS:
            logs = ExportLogsServiceResponse.FromString(body).partial_success
            return logs.rejected_log_records, logs.error_message


def _advice(signal: Signal, status: int) -> str:
    match status:
        case 401 | 403:
            return "check the credentials in OTEL_EXPORTER_OTLP_HEADERS or the client certificate"
        case 404 | 405:
            name = signal.upper()
            return f"set OTEL_EXPORTER_OTLP_{name}_ENDPOINT to what takes {signal}, or OTEL_{name}_EXPORTER=none"
        case 413:
            return "raise the backend's limit on the size of a request to 4 MiB"
        case _ if status in _RETRYABLE:
            return "it is overloaded or still starting; sending continues"
        case _:
            return "the backend's own log says more"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _retry_after(text: str) -> float | None:
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return None
