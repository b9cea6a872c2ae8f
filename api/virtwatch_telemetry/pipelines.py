# Builds the SDK's providers on channels. The SDK bounds the queues: 2048 items each (OTEL_BSP_*, OTEL_BLRP_*).
import logging
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from virtwatch_telemetry.channel import Channel
from virtwatch_telemetry.exporters import ChannelLogExporter, ChannelMetricExporter, ChannelSpanExporter


def resource(attributes: Mapping[str, str]) -> Resource:
    """Describe this process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over what the code says."""
    return Resource.create(dict(attributes)).merge(OTELResourceDetector().detect())


def tracers(
    channel: Channel,
    resource: Resource,
    ids: IdGenerator,
    *,
    leave: Callable[[ReadableSpan], ReadableSpan] | None = None,
) -> TracerProvider:
    """Export spans in batches; `leave` says what of each leaves the process."""
    _hush_full_queues()
    provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=ids)
    provider.add_span_processor(BatchSpanProcessor(ChannelSpanExporter(channel, leave)))
    return provider


def loggers(channel: Channel, resource: Resource) -> LoggerProvider:
    """Export log records in batches."""
    _hush_full_queues()
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(ChannelLogExporter(channel)))
    return provider


def meters(
    channel: Channel | None,
    resource: Resource,
    *,
    interval: float,
    env: Mapping[str, str],
    more: Sequence[MetricReader] = (),
) -> MeterProvider:
    """Export metrics each `interval` seconds, where there is a channel, and to `more` readers."""
    readers = [*more]
    if channel is not None:
        readers.append(PeriodicExportingMetricReader(ChannelMetricExporter(channel, env), interval * 1000))
    return MeterProvider(readers, resource=resource, shutdown_on_exit=False)


def _hush_full_queues() -> None:
    """Keep the SDK's lines about full queues out of the log: the outage behind them has its own."""
    logger = logging.getLogger("opentelemetry.sdk._shared_internal")
    if _not_about_a_full_queue not in logger.filters:
        logger.addFilter(_not_about_a_full_queue)


def _not_about_a_full_queue(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Queue full")
