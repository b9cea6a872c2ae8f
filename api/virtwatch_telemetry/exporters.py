# Hands what the SDK collected to a channel. The SDK's own OTLP exporters take a redirect for a success, never read
# partial_success, and know no deadline for shutdown.
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.metrics.view import Aggregation, ExponentialBucketHistogramAggregation
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from typing_extensions import override

from virtwatch_telemetry.channel import Channel

_DELTA = {
    "delta": (Counter, Histogram, ObservableCounter),
    "lowmemory": (Counter, Histogram),
}


class ChannelSpanExporter(SpanExporter):
    """Export spans."""

    def __init__(self, channel: Channel, leave: Callable[[ReadableSpan], ReadableSpan] | None = None) -> None:
        """Send spans on a channel; `leave` says what of each."""
        self._channel = channel
        self._leave = leave

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        if self._leave is not None:
            spans = [self._leave(span) for span in spans]
        delivered = self._channel.deliver(encode_spans(spans).SerializeToString())
        return SpanExportResult.SUCCESS if delivered else SpanExportResult.FAILURE


class ChannelLogExporter(LogRecordExporter):
    """Export log records."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @override
    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Send a batch."""
        delivered = self._channel.deliver(encode_logs(batch).SerializeToString())
        return LogRecordExportResult.SUCCESS if delivered else LogRecordExportResult.FAILURE

    @override
    def shutdown(self) -> None:
        """Hold nothing, so end nothing."""

    @override
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hold nothing, so flush nothing."""
        return True


class ChannelMetricExporter(MetricExporter):
    """Export metrics of the SDK's instruments, with the temporality and histograms that `env` prefers."""

    def __init__(self, channel: Channel, env: Mapping[str, str]) -> None:
        super().__init__(preferred_temporality=_temporality(env), preferred_aggregation=_aggregation(env))
        self._channel = channel

    @override
    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> MetricExportResult:
        """Send one collection."""
        delivered = self._channel.deliver(encode_metrics(metrics_data).SerializeToString())
        return MetricExportResult.SUCCESS if delivered else MetricExportResult.FAILURE

    @override
    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Hold nothing, so end nothing."""

    @override
    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Hold nothing, so flush nothing."""
        return True


def _temporality(env: Mapping[str, str]) -> dict[type, AggregationTemporality]:
    preference = env.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "").strip().lower()
    return dict.fromkeys(_DELTA.get(preference, ()), AggregationTemporality.DELTA)


def _aggregation(env: Mapping[str, str]) -> dict[type, Aggregation]:
    name = env.get("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "").strip().lower()
    exponential = name == "base2_exponential_bucket_histogram"
    return {Histogram: ExponentialBucketHistogramAggregation()} if exponential else {}
