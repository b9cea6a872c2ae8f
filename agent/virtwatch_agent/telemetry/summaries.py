"""The signals of one target that are exported as summaries: all values since the last export, not the last alone."""

from collections.abc import Collection, Mapping, Sequence, Set
from typing import NamedTuple

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    ExponentialHistogramDataPoint,
    Metric,
    ResourceMetrics,
    ScopeMetrics,
)

from virtwatch_agent.observations import Series
from virtwatch_agent.telemetry.attributes import key_values
from virtwatch_agent.telemetry.figures import SIGNAL_FIGURES
from virtwatch_agent.telemetry.histogram import ZERO, ExponentialHistogram
from virtwatch_agent.telemetry.identity import SCOPE
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_telemetry.events import nanoseconds


class Counted(NamedTuple):
    """Hold one value of a summary, of one incarnation of the target; `at` is when, seconds since 1970."""

    incarnation: str
    series: Series
    value: float
    at: float


class Summaries:
    """Hold one histogram for each series, counted since its first value of an incarnation of the target."""

    def __init__(self, on_points: tuple[tuple[str, str], ...] = ()) -> None:
        """`on_points` are attributes of every point."""
        self._on_points = on_points
        self._held: dict[Series, ExponentialHistogram] = {}
        self._starts: dict[Series, int] = {}  # of those, and of none else; nanoseconds since 1970
        self._incarnation: str | None = None

    @property
    def holds(self) -> Collection[Series]:
        """Return the series that it holds."""
        return self._held.keys()

    def render(self, counted: Sequence[Counted], *, at: int) -> bytes:
        """Return the histograms with these values, oldest first; another incarnation begins them again.

        Those of an incarnation that is over are left out. `at` is in nanoseconds since 1970.
        """
        counted = [item for item in counted if item.incarnation == counted[-1].incarnation]
        ended = b""
        if counted[0].incarnation != self._incarnation:
            ended = self.end(at)
            self._incarnation = counted[0].incarnation
        for item in counted:
            self._starts.setdefault(item.series, nanoseconds(item.at))
            self._held.setdefault(item.series, ExponentialHistogram()).record(item.value)
        return ended + self._message({item.series: self._held[item.series] for item in counted}, at)

    def keep(self, source: Source, devices: Set[str], *, at: int) -> bytes:
        """End the series of devices that are gone: of the signals of a source, only these are left."""
        gone = [
            (signal, device)
            for signal, device in self._held
            if device and device not in devices and source in SIGNAL[signal].sources
        ]
        return self._ended(gone, at)

    def end(self, at: int) -> bytes:
        """End all series."""
        return self._ended(list(self._held), at)

    def _ended(self, gone: Sequence[Series], at: int) -> bytes:
        message = self._message(dict.fromkeys(gone), at)
        for series in gone:
            del self._held[series], self._starts[series]
        return message

    def _message(self, histograms: Mapping[Series, ExponentialHistogram | None], at: int) -> bytes:
        if not histograms:
            return b""
        scope, metrics = ScopeMetrics(), dict[str, Metric]()
        scope.scope.name = SCOPE
        for series, histogram in histograms.items():
            signal, device = series
            self._starts[series] = start = min(self._starts[series], at)  # the clock may have been set back
            figure = SIGNAL_FIGURES[signal]
            if figure.metric not in metrics:
                metric = metrics[figure.metric] = scope.metrics.add(
                    name=figure.metric, unit=figure.unit, description=figure.description
                )
                temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
                metric.exponential_histogram.aggregation_temporality = temporality
            point = metrics[figure.metric].exponential_histogram.data_points.add(
                attributes=key_values(figure.labels(device, self._on_points)),
                start_time_unix_nano=start,
                time_unix_nano=at,
            )
            if histogram is None:
                point.flags = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
            else:
                _fill(point, histogram)
        message: bytes = ResourceMetrics(scope_metrics=[scope]).SerializeToString()
        return message


def _fill(point: ExponentialHistogramDataPoint, histogram: ExponentialHistogram) -> None:
    point.count, point.sum, point.scale = histogram.count, histogram.total, histogram.scale
    point.zero_count, point.zero_threshold = histogram.zeros, ZERO
    if histogram.buckets:
        first, last = min(histogram.buckets), max(histogram.buckets)
        point.positive.offset = first
        point.positive.bucket_counts.extend(histogram.buckets.get(index, 0) for index in range(first, last + 1))
