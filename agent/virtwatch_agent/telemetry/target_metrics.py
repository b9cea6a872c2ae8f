"""One VM's metrics as protobuf messages that are kept: a new sample rewrites values in place.

The SDK's instruments cost 50 times as much per point, know one Resource per process, and never forget a series that
ended.
"""

import math
from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from virtwatch_agent.observations import Sample, Series
from virtwatch_agent.telemetry.identity import SCOPE
from virtwatch_api.catalogue.readings import READING, Instrument, Reading, Source
from virtwatch_telemetry.events import nanoseconds


class MachineMetrics:
    """Hold the messages of one VM, one for each source, since sources are asked at intervals of their own."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        kept = ResourceMetrics(resource=Resource(attributes=_attributes(resource.items())))
        self._resource: bytes = kept.SerializeToString()
        self._sources: dict[Source, _SourceMetrics] = {}

    def render(self, samples: Iterable[Sample]) -> bytes:
        """Return a serialised request with the points of these samples, at most one of each source."""
        parts = [self._sources.setdefault(item.source, _SourceMetrics()).render(item) for item in samples]
        return self._request(parts)

    def end(self, at: float) -> bytes:
        """Return a serialised request that ends all series `at` seconds since 1970; the messages are empty then."""
        parts = [source.end(nanoseconds(at)) for source in self._sources.values()]
        self._sources.clear()
        return self._request(parts)

    def _request(self, parts: list[bytes]) -> bytes:
        if not any(parts):
            return b""
        # Serialised messages that follow each other are merged when they are read: the Resource stands once in front.
        body = self._resource + b"".join(parts)
        return _RESOURCE_METRICS + _varint(len(body)) + body


class _SourceMetrics:
    """Hold the points of one source; `_start` is when it first saw this incarnation of the VM."""

    def __init__(self) -> None:
        self._message = ResourceMetrics()
        self._points: dict[Series, NumberDataPoint] = {}
        self._incarnation: str | None = None
        self._start = 0

    def render(self, sample: Sample) -> bytes:
        at = nanoseconds(sample.at)
        restarted = sample.incarnation != self._incarnation
        if restarted:
            self._incarnation, self._start = sample.incarnation, at
        values, ended = sample.values, b""
        # A sum is finite only if every value is: one test for the usual case.
        if restarted or values.keys() != self._points.keys() or not math.isfinite(sum(values.values())):
            values = {item: value for item, value in values.items() if item[0] in READING and math.isfinite(value)}
            ended = self._ended(self._points.keys() - values.keys(), at)
            self._message, self._points = _build(values.keys(), self._start)
        points = self._points
        for series, value in values.items():
            point = points[series]
            point.time_unix_nano = at
            point.as_double = value
        return ended + (self._message.SerializeToString() if points else b"")

    def end(self, at: int) -> bytes:
        return self._ended(self._points.keys(), at)

    def _ended(self, gone: Iterable[Series], at: int) -> bytes:
        message, points = _build(gone, self._start)
        for point in points.values():
            point.time_unix_nano = at
            point.flags = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
        return message.SerializeToString() if points else b""


def _build(series: Iterable[Series], start: int) -> tuple[ResourceMetrics, dict[Series, NumberDataPoint]]:
    scope = ScopeMetrics()
    scope.scope.name = SCOPE
    metrics: dict[str, Metric] = {}
    points: dict[Series, NumberDataPoint] = {}
    message = ResourceMetrics(scope_metrics=[scope])
    for key, device in series:
        reading = READING[key]
        if reading.metric not in metrics:
            metrics[reading.metric] = _metric(message.scope_metrics[0], reading)
        points[key, device] = _point(metrics[reading.metric], reading, device, start)
    return message, points


def _metric(scope: ScopeMetrics, reading: Reading) -> Metric:
    metric: Metric = scope.metrics.add(name=reading.metric, unit=reading.unit, description=reading.description)
    if reading.instrument is Instrument.COUNTER:
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    return metric


def _point(metric: Metric, reading: Reading, device: str, start: int) -> NumberDataPoint:
    attributes = _attributes([*reading.attributes, *([(reading.device, device)] if reading.device else [])])
    counter = reading.instrument is Instrument.COUNTER
    points = metric.sum.data_points if counter else metric.gauge.data_points
    point: NumberDataPoint = points.add(attributes=attributes, start_time_unix_nano=start if counter else 0)
    return point


def _attributes(attributes: Iterable[tuple[str, str]]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes]


_RESOURCE_METRICS = bytes([ExportMetricsServiceRequest.RESOURCE_METRICS_FIELD_NUMBER << 3 | 2])


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
