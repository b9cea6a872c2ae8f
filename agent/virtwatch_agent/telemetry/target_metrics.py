"""One target's metrics as protobuf messages that are kept: a new sample rewrites values in place.

The SDK's instruments cost 50 times as much per point, know one Resource per process, and never forget a series that
ended.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence, Set

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Sample, Series
from virtwatch_agent.telemetry.attributes import key_values
from virtwatch_agent.telemetry.figures import DERIVED, FIGURES, SUMMARIES, Figure
from virtwatch_agent.telemetry.identity import SCOPE
from virtwatch_agent.telemetry.summaries import Counted, Summaries
from virtwatch_api.catalogue.readings import READING, Source
from virtwatch_telemetry.events import nanoseconds


class TargetMetrics:
    """Hold the messages of one target, one for each source, since sources are asked at intervals of their own.

    Derived signals are computed here from one exported sample to the next: a rate is the mean of the export interval,
    whatever rules ask for in between. Of `summaries` the values in between are counted instead, as they come.
    """

    def __init__(self, resource: Mapping[str, str], summaries: Set[str] = SUMMARIES) -> None:
        kept = ResourceMetrics(resource=Resource(attributes=key_values(resource.items())))
        self._resource: bytes = kept.SerializeToString()
        self._sources: dict[Source, _SourceMetrics] = {}
        self._deriver = Deriver()
        self._deriver.want(DERIVED - summaries)
        self._summaries = Summaries()

    def render(self, samples: Collection[Sample], counted: Sequence[Counted] = ()) -> bytes:
        """Return a serialised request with the points of these samples, at most one of each source.

        `counted` are the values of summaries, oldest first.
        """
        parts = [self._render(sample) for sample in samples]
        if counted:
            parts.append(self._summaries.render(counted, at=nanoseconds(max(sample.at for sample in samples))))
        return self._request(parts)

    def end(self, at: float) -> bytes:
        """Return a serialised request that ends all series `at` seconds since 1970; the messages are empty then."""
        parts = [source.end(nanoseconds(at)) for source in self._sources.values()]
        parts.append(self._summaries.end(nanoseconds(at)))
        self._sources.clear()
        return self._request(parts)

    def _render(self, sample: Sample) -> bytes:
        look = self._deriver.measure(sample, due=sample.at)
        source = self._sources.setdefault(sample.source, _SourceMetrics())
        devices = {device for _, device in sample.values}
        ended = self._summaries.keep(sample.source, devices, at=nanoseconds(sample.at))
        if look is None:  # of a source without derived signals
            return ended + source.render(sample, sample.values, frozenset())
        derived = {(name, device): value for name, device, value in look.points if value is not None}
        return ended + source.render(sample, {**sample.values, **derived}, look.signals)

    def _request(self, parts: list[bytes]) -> bytes:
        if not any(parts):
            return b""
        # Serialised messages that follow each other are merged when they are read: the Resource stands once in front.
        body = self._resource + b"".join(parts)
        return _RESOURCE_METRICS + _varint(len(body)) + body


class _SourceMetrics:
    """Hold the points of one source; `_start` is when it first saw this incarnation of the target."""

    def __init__(self) -> None:
        self._message = ResourceMetrics()
        self._points: dict[Series, NumberDataPoint] = {}
        self._incarnation: str | None = None
        self._start = self._seen = 0

    def render(self, sample: Sample, values: Mapping[Series, float], told: Collection[str]) -> bytes:
        """Write the values of a sample and what was derived from it; `told` are the signals that it can tell of."""
        at = nanoseconds(sample.at)
        restarted = sample.incarnation != self._incarnation
        if restarted:
            self._incarnation, self._start = sample.incarnation, at
        ended = b""
        # A sum is finite only if every value is: one test for the usual case.
        if restarted or values.keys() != self._points.keys() or not math.isfinite(sum(values.values())):
            values = {item: value for item, value in values.items() if item[0] in FIGURES and math.isfinite(value)}
            ended = self._replace(values.keys(), set() if restarted else self._waiting(told), at)
        points = self._points
        for series, value in values.items():
            point = points[series]
            if value < point.as_double and point.start_time_unix_nano:  # a counter that went back began anew since
                point.start_time_unix_nano = point.time_unix_nano
            point.time_unix_nano = at
            point.as_double = value
        self._seen = at
        return ended + (self._message.SerializeToString() if points else b"")

    def end(self, at: int) -> bytes:
        return self._ended(self._points.keys(), at)

    def _waiting(self, told: Collection[str]) -> set[Series]:
        """Name derived series of which the sample tells nothing: the guest has not reported since the last one."""
        return {item for item in self._points if item[0] not in READING and item[0] not in told}

    def _replace(self, given: Collection[Series], waiting: Collection[Series], at: int) -> bytes:
        """Hold the points of these series from now on, of which some wait; return what ends the others."""
        before = self._points
        ended = self._ended(before.keys() - set(given) - set(waiting), at)
        self._message, self._points = _build([*given, *waiting], self._start)
        if self._start == at:  # an incarnation that begins
            return ended
        for item, point in self._points.items():
            if item in before:
                point.CopyFrom(before[item])
            elif point.start_time_unix_nano:  # a device that came since
                point.start_time_unix_nano = self._seen
        return ended

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
        figure = FIGURES[key]
        if figure.metric not in metrics:
            metrics[figure.metric] = _metric(message.scope_metrics[0], figure)
        points[key, device] = _point(metrics[figure.metric], figure, device, start)
    return message, points


def _metric(scope: ScopeMetrics, figure: Figure) -> Metric:
    metric: Metric = scope.metrics.add(name=figure.metric, unit=figure.unit, description=figure.description)
    if figure.counter:
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    return metric


def _point(metric: Metric, figure: Figure, device: str, start: int) -> NumberDataPoint:
    attributes = key_values([*figure.attributes, *([(figure.device, device)] if figure.device else [])])
    points = metric.sum.data_points if figure.counter else metric.gauge.data_points
    point: NumberDataPoint = points.add(attributes=attributes, start_time_unix_nano=start if figure.counter else 0)
    return point


_RESOURCE_METRICS = bytes([ExportMetricsServiceRequest.RESOURCE_METRICS_FIELD_NUMBER << 3 | 2])


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
