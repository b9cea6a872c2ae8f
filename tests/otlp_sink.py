"""Receive OTLP over HTTP inside a test, keep it decoded, and misbehave on demand."""

import gzip
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tools.errors import ToolError


class Answer(Enum):
    """What the sink does with a request. Only ACCEPT keeps what it holds."""

    ACCEPT = "accept"
    PARTIAL = "accept none of it, by partial_success"
    REDIRECT = "302"
    UNAVAILABLE = "503"
    HANG = "no answer until told otherwise"
    ABSENT = "connection refused"


_STATUS = {Answer.REDIRECT: 302, Answer.UNAVAILABLE: 503}


@dataclass(frozen=True, slots=True)
class Received:
    """One span, log record or metric, as the protocol's own message, with what stands around it."""

    resource: dict[str, Any]
    scope: str
    message: Any

    @property
    def attributes(self) -> dict[str, Any]:
        """Give the attributes of a span or a log record."""
        return attributes(self.message.attributes)


class Sink:
    """An OTLP/HTTP receiver on loopback; a context manager. Read its lists after `wait`."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.logs: list[Received] = []
        self.metrics: list[Received] = []
        self.authorized: set[tuple[str, str]] = set()  # each service that sent, and in which words it may
        self.requests = 0
        self._answer = Answer.ABSENT
        self._port = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        self.answer(Answer.ACCEPT)
        return self

    def __exit__(self, *_: object) -> None:
        self.answer(Answer.ABSENT)

    @property
    def otlp_http(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def answer(self, how: Answer) -> None:
        """Answer so from now on; requests that hang are let go and answered so too."""
        with self._changed:
            before, self._answer = self._answer, how
            self._changed.notify_all()
        if (how is Answer.ABSENT) is not (before is Answer.ABSENT):
            if how is Answer.ABSENT:
                self._close()
            else:
                self._listen()

    def _listen(self) -> None:
        """Listen, at the same port each time."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), type("Handler", (_Handler,), {"sink": self}))
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="sink", daemon=True)
        self._thread.start()

    def _close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, predicate: Callable[["Sink"], bool], deadline: float) -> None:
        """Return when the predicate holds, asked anew after each request; fail after `deadline` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self), deadline):
                counts = f"{len(self.spans)} spans, {len(self.logs)} logs and {len(self.metrics)} metrics"
                raise ToolError(f"After {deadline:g} s and {self.requests} requests the sink holds only {counts}.")

    def take(self, path: str, body: bytes, authorization: str = "") -> tuple[int, bytes] | None:
        """Take one request and return status and body of its answer, None when nobody is there to give one."""
        signal = _SIGNALS.get(path)
        if signal is None:
            return 404, b""
        try:
            received = signal.decode(body)
        except DecodeError:
            return 400, b""
        with self._changed:
            self.requests += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answer is not Answer.HANG)
            if self._answer is Answer.ABSENT:
                return None
            if self._answer is Answer.ACCEPT:
                self.authorized |= {(str(item.resource.get("service.name")), authorization) for item in received}
                {"/v1/traces": self.spans, "/v1/logs": self.logs, "/v1/metrics": self.metrics}[path].extend(received)
                self._changed.notify_all()
            return _STATUS.get(self._answer, 200), signal.refusal if self._answer is Answer.PARTIAL else b""


class _Handler(BaseHTTPRequestHandler):
    sink: Sink
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answered = self.sink.take(self.path, body, self.headers.get("Authorization", ""))
        if answered is None:
            self.close_connection = True  # One kept from before.
            return
        status, answer = answered
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        with suppress(ConnectionError):  # A client that hung up got no answer, as it wished.
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
        """Say nothing: a test's output belongs to the test."""


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Turn the protocol's attributes into a dict of Python values."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


@dataclass(frozen=True, slots=True)
class _Signal:
    """How one signal is asked for, and refused, in OTLP."""

    request: type[Any]
    levels: tuple[str, str, str]
    refusal: bytes

    def decode(self, body: bytes) -> list[Received]:
        wholes, parts, items = self.levels
        return [
            Received(attributes(whole.resource.attributes), part.scope.name, item)
            for whole in getattr(self.request.FromString(body), wholes)
            for part in getattr(whole, parts)
            for item in getattr(part, items)
        ]


_WHY = "the test's sink rejects all, as told"
_SIGNALS = {
    "/v1/traces": _Signal(
        traces.ExportTraceServiceRequest,
        ("resource_spans", "scope_spans", "spans"),
        traces.ExportTraceServiceResponse(
            partial_success=traces.ExportTracePartialSuccess(rejected_spans=1, error_message=_WHY)
        ).SerializeToString(),
    ),
    "/v1/logs": _Signal(
        logs.ExportLogsServiceRequest,
        ("resource_logs", "scope_logs", "log_records"),
        logs.ExportLogsServiceResponse(
            partial_success=logs.ExportLogsPartialSuccess(rejected_log_records=1, error_message=_WHY)
        ).SerializeToString(),
    ),
    "/v1/metrics": _Signal(
        metrics.ExportMetricsServiceRequest,
        ("resource_metrics", "scope_metrics", "metrics"),
        metrics.ExportMetricsServiceResponse(
            partial_success=metrics.ExportMetricsPartialSuccess(rejected_data_points=1, error_message=_WHY)
        ).SerializeToString(),
    ),
}
