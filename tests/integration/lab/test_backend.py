import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from lab.backend.backend import Backend
from lab.process import wait_for
from tests.otlp_sink import Answer, Sink
from tools.errors import ToolError

RESOURCE = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value="lab-test"))])


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


def post(url: str, body: bytes, *, timeout: float = 10) -> tuple[int, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/x-protobuf"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect())
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()


def one_span(trace_id: bytes) -> bytes:
    now = time.time_ns()
    span = Span(
        trace_id=trace_id,
        span_id=secrets.token_bytes(8),
        name="judge",
        start_time_unix_nano=now - 1000,
        end_time_unix_nano=now,
        attributes=[KeyValue(key="rule", value=AnyValue(string_value="cpu-starved"))],
    )
    whole = ResourceSpans(resource=RESOURCE, scope_spans=[ScopeSpans(spans=[span])])
    return ExportTraceServiceRequest(resource_spans=[whole]).SerializeToString()


def one_metric() -> bytes:
    point = NumberDataPoint(as_double=0.25, time_unix_nano=time.time_ns())
    metric = Metric(name="lab.test.ratio", unit="1", gauge=Gauge(data_points=[point]))
    whole = ResourceMetrics(resource=RESOURCE, scope_metrics=[ScopeMetrics(metrics=[metric])])
    return ExportMetricsServiceRequest(resource_metrics=[whole]).SerializeToString()


def one_log(name: str) -> bytes:
    record = LogRecord(event_name=name, time_unix_nano=time.time_ns())
    whole = ResourceLogs(resource=RESOURCE, scope_logs=[ScopeLogs(log_records=[record])])
    return ExportLogsServiceRequest(resource_logs=[whole]).SerializeToString()


class TestJaeger:
    def test_a_span_sent_is_found_by_its_trace_and_by_its_service(self, backend: Backend) -> None:
        trace_id = secrets.token_bytes(16)
        assert backend.trace(trace_id.hex()) == {}
        assert post(backend.otlp_http + "/v1/traces", one_span(trace_id))[0] == 200
        wait_for(lambda: backend.trace(trace_id.hex()) != {}, what="the trace", deadline=60)
        (span,) = backend.trace(trace_id.hex())["spans"]
        assert span["operationName"] == "judge"
        assert trace_id.hex() in [trace["traceID"] for trace in backend.traces("lab-test")]

    def test_a_metric_sent_is_shown_with_its_resource(self, backend: Backend) -> None:
        assert post(backend.otlp_http + "/v1/metrics", one_metric())[0] == 200
        wait_for(lambda: "lab_test_ratio" in backend.metrics(), what="the metric", deadline=60)
        (line,) = [line for line in backend.metrics().splitlines() if line.startswith("lab_test_ratio")]
        assert 'service_name="lab-test"' in line
        assert line.endswith(" 0.25")

    def test_an_event_sent_is_in_the_log(self, backend: Backend) -> None:
        name = f"vm.started.{secrets.token_hex(4)}"
        assert post(backend.otlp_http + "/v1/logs", one_log(name))[0] == 200
        wait_for(lambda: name in backend.log.read_text(), what="the event", deadline=60)

    def test_killed_and_restarted_it_takes_spans_at_the_same_address(self, backend: Backend) -> None:
        address = backend.otlp_http
        backend.kill()
        with pytest.raises(OSError, match="refused"):
            post(address + "/v1/traces", one_span(secrets.token_bytes(16)))
        backend.restart()
        assert post(address + "/v1/traces", one_span(secrets.token_bytes(16)))[0] == 200


class TestSink:
    @pytest.fixture
    def sink(self) -> Iterator[Sink]:
        with Sink() as sink:
            yield sink

    def send_span(self, sink: Sink) -> tuple[int, bytes]:
        return post(sink.otlp_http + "/v1/traces", one_span(secrets.token_bytes(16)))

    def test_it_keeps_all_three_signals_decoded(self, sink: Sink) -> None:
        self.send_span(sink)
        post(sink.otlp_http + "/v1/metrics", one_metric())
        post(sink.otlp_http + "/v1/logs", one_log("vm.started"))
        sink.wait(lambda sink: bool(sink.spans and sink.metrics and sink.logs), deadline=30)
        assert sink.spans[0].resource == {"service.name": "lab-test"}
        assert sink.spans[0].attributes == {"rule": "cpu-starved"}
        assert sink.metrics[0].message.gauge.data_points[0].as_double == 0.25
        assert sink.logs[0].message.event_name == "vm.started"

    @pytest.mark.parametrize(("answer", "status"), [(Answer.UNAVAILABLE, 503), (Answer.REDIRECT, 302)])
    def test_it_refuses_as_told_and_keeps_nothing(self, sink: Sink, answer: Answer, status: int) -> None:
        sink.answer(answer)
        assert self.send_span(sink)[0] == status
        assert sink.requests == 1
        assert sink.spans == []
        sink.answer(Answer.ACCEPT)
        assert self.send_span(sink)[0] == 200
        assert len(sink.spans) == 1

    def test_it_goes_away_and_comes_back_at_the_same_address(self, sink: Sink) -> None:
        sink.answer(Answer.ABSENT)
        with pytest.raises(OSError, match="refused"):
            self.send_span(sink)
        sink.answer(Answer.ACCEPT)
        assert self.send_span(sink)[0] == 200
        assert len(sink.spans) == 1

    def test_it_rejects_by_partial_success(self, sink: Sink) -> None:
        sink.answer(Answer.PARTIAL)
        status, body = self.send_span(sink)
        assert status == 200
        assert ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans == 1
        assert sink.spans == []

    def test_it_hangs_until_told_otherwise(self, sink: Sink) -> None:
        sink.answer(Answer.HANG)
        with pytest.raises(TimeoutError):
            post(sink.otlp_http + "/v1/traces", one_span(secrets.token_bytes(16)), timeout=2)
        sink.answer(Answer.ACCEPT)
        sink.wait(lambda sink: len(sink.spans) == 1, deadline=30)

    def test_it_refuses_what_is_no_otlp(self, sink: Sink) -> None:
        assert post(sink.otlp_http + "/v1/traces", b"\xff\xff\xff")[0] == 400
        assert post(sink.otlp_http + "/v2/traces", b"")[0] == 404

    def test_waiting_in_vain_says_what_it_holds(self, sink: Sink) -> None:
        self.send_span(sink)
        with pytest.raises(ToolError, match="1 requests the sink holds only 1 spans, 0 logs and 0 metrics"):
            sink.wait(lambda sink: len(sink.spans) == 2, deadline=0.1)
