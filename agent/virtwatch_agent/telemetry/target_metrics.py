"""One target's metrics as OTLP's bytes that are kept: a new sample puts in its values.

The SDK's instruments cost 50 times as much per point, know one Resource per process, and never forget a series that
ended.
"""

import math
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

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

from virtwatch_agent.export_settings import USUAL, ExportSettings
from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Sample, Series
from virtwatch_agent.telemetry.attributes import key_values
from virtwatch_agent.telemetry.figures import FIGURES, Figure
from virtwatch_agent.telemetry.identity import SCOPE, target_attributes
from virtwatch_agent.telemetry.kubevirt_names import KUBEVIRT_FIGURES, again, identity, is_again
from virtwatch_agent.telemetry.point_template import PointTemplate
from virtwatch_agent.telemetry.summaries import Counted, Summaries
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.instruments import Exported, exported
from virtwatch_api.catalogue.readings import READING, Source
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.targets import Subject
from virtwatch_telemetry.events import nanoseconds
from virtwatch_telemetry.wire import field

_OLD_S = 300.0  # after which a source that is not asked any more cuts nothing
_SIGNALS = exported()
_FIGURES: Mapping[str, Figure] = {**FIGURES, **KUBEVIRT_FIGURES}


@dataclass(frozen=True, slots=True)
class _Labels:
    """Hold what every point of a target carries: under our names, and under KubeVirt's."""

    own: tuple[tuple[str, str], ...] = ()
    kubevirt: tuple[tuple[str, str], ...] = ()

    def of(self, key: str) -> tuple[tuple[str, str], ...]:
        return self.kubevirt if is_again(key) else self.own


def _labels(subject: Subject | None, settings: ExportSettings) -> _Labels:
    if subject is None:
        return _Labels()
    own = tuple(target_attributes(subject).items()) if settings.identity_on_points else ()
    of_kubevirt = settings.kubevirt_names and subject.target.kind is TargetKind.VIRTUAL_MACHINE
    return _Labels(own, identity(subject) if of_kubevirt else ())


class TargetMetrics:
    """Hold the messages of one target, one for each source, since sources are asked at intervals of their own.

    Derived signals are computed here from one exported sample to the next: a rate is the mean of the export interval,
    whatever rules ask for in between. Of summaries the values in between are counted instead, as they come.
    """

    def __init__(
        self,
        resource: Mapping[str, str],
        signals: Exported = _SIGNALS,
        subject: Subject | None = None,
        settings: ExportSettings = USUAL,
    ) -> None:
        """`resource` are its attributes, `signals` what is exported beside readings; `subject` names it on points."""
        kept = ResourceMetrics(resource=Resource(attributes=key_values(resource.items())))
        self._resource: bytes = kept.SerializeToString()
        self._sources: dict[Source, _SourceMetrics] = {}
        self._deriver = Deriver()
        self._deriver.want(signals.gauges)
        self._labels = _labels(subject, settings)
        self._most = settings.most_series
        self._kubevirt = bool(self._labels.kubevirt)
        self._cut: dict[Source, tuple[int, float]] = {}  # how many, and as of when
        self._cut_summaries: Set[Series] = frozenset()
        self._summaries_cut_at = 0.0
        self._summaries = Summaries(self._labels.own)

    def render(self, samples: Collection[Sample], counted: Sequence[Counted] = ()) -> bytes:
        """Return a serialised request with the points of these samples, at most one of each source.

        `counted` are the values of summaries, oldest first.
        """
        parts = [self._render(sample) for sample in samples]
        newest = max((sample.at for sample in samples), default=0.0)
        self._cut = {source: item for source, item in self._cut.items() if newest - item[1] < _OLD_S}
        if newest - self._summaries_cut_at >= _OLD_S:
            self._cut_summaries = frozenset()  # none was counted since
        if counted := self._bounded_summaries(counted, newest):
            parts.append(self._summaries.render(counted, at=nanoseconds(max(sample.at for sample in samples))))
        return self._request(parts)

    def end(self, at: float) -> bytes:
        """Return a serialised request that ends all series `at` seconds since 1970; the messages are empty then."""
        parts = [source.end(nanoseconds(at)) for source in self._sources.values()]
        parts.append(self._summaries.end(nanoseconds(at)))
        self._sources.clear()
        return self._request(parts)

    @property
    def cut(self) -> int:
        """Return how many series are left out, since there are more than one target may have."""
        return sum(cut for cut, _ in self._cut.values()) + len(self._cut_summaries)

    def _bounded_summaries(self, counted: Sequence[Counted], at: float) -> Sequence[Counted]:
        """Return the values of as many summaries as the target may have: those that are held, then the first others."""
        if not counted:
            return counted
        self._summaries_cut_at = at
        series = dict.fromkeys(item.series for item in counted)
        room = max(0, self._most - sum(item.count for item in self._sources.values()))
        if len(series) <= room and not self._cut_summaries:
            return counted
        held = self._summaries.holds
        first = [*(item for item in series if item in held), *(item for item in series if item not in held)][:room]
        self._cut_summaries = series.keys() - set(first)
        return [item for item in counted if item.series not in self._cut_summaries]

    def _bounded(self, source: Source, values: dict[Series, float], at: float) -> Mapping[Series, float]:
        """Return as many series as the target may have: those that are held, then the first of the others."""
        others = sum(item.count for name, item in self._sources.items() if name is not source)
        others += len(self._summaries.holds)
        allowed = max(0, self._most - others)
        cut = max(0, len(values) - allowed)
        self._cut[source] = cut, at
        if not cut:
            return values
        held = self._sources[source].holds
        first = [*(item for item in values if item in held), *(item for item in values if item not in held)][:allowed]
        return {item: values[item] for item in first}

    def _render(self, sample: Sample) -> bytes:
        look = self._deriver.measure(sample, due=sample.at)
        source = self._sources.setdefault(sample.source, _SourceMetrics(self._labels))
        devices = {device for _, device in sample.values}
        ended = self._summaries.keep(sample.source, devices, at=nanoseconds(sample.at))
        values = {**sample.values, **again(sample.values)} if self._kubevirt else {**sample.values}
        if look is not None:
            values |= {(name, device): value for name, device, value in look.points if value is not None}
        measured = look.signals if look is not None else frozenset()
        return ended + source.render(sample, self._bounded(sample.source, values, sample.at), measured)

    def _request(self, parts: list[bytes]) -> bytes:
        if not any(parts):
            return b""
        # Serialised messages that follow each other are merged when they are read: the Resource stands once in front.
        body = self._resource + b"".join(parts)
        return field(ExportMetricsServiceRequest.RESOURCE_METRICS_FIELD_NUMBER, body)


class _SourceMetrics:
    """Hold the points of one source; `_start` is when it first saw this incarnation of the target."""

    def __init__(self, labels: "_Labels") -> None:
        self._labels = labels
        self._points = _Points.of((), labels, 0)
        self._incarnation: str | None = None
        self._start = self._seen = 0

    @property
    def count(self) -> int:
        """Return how many series it holds."""
        return len(self._points.series)

    @property
    def holds(self) -> Collection[Series]:
        """Return the series that it holds."""
        return frozenset(self._points.series)

    def render(self, sample: Sample, values: Mapping[Series, float], measured: Collection[str]) -> bytes:
        """Write the values of a sample and what was derived from it; `measured` are the signals that it can report."""
        at = nanoseconds(sample.at)
        restarted = sample.incarnation != self._incarnation
        if restarted:
            self._incarnation, self._start = sample.incarnation, at
        elif at < self._seen:  # the clock was set back: nothing may begin after it ends
            self._start = min(self._start, at)
            self._points.begin_by(at)
        ended = b""
        # A sum is finite only if every value is: one test for the usual case.
        if restarted or tuple(values) != self._points.series or not math.isfinite(sum(values.values())):
            values = {item: value for item, value in values.items() if item[0] in _FIGURES and math.isfinite(value)}
            ended = self._replace(tuple(values), () if restarted else self._waiting(measured), at)
        self._points.take(values.values(), at)
        self._seen = at
        return ended + self._points.message()

    def end(self, at: int) -> bytes:
        return self._ended(self._points.series, at)

    def _waiting(self, measured: Collection[str]) -> Sequence[Series]:
        """Name derived series of which the sample tells nothing: the guest has not reported since the last one."""
        held = self._points.series
        return [item for item in held if item[0] in SIGNAL and item[0] not in measured and item[0] not in READING]

    def _replace(self, given: Sequence[Series], waiting: Sequence[Series], at: int) -> bytes:
        """Hold the points of these series from now on, of which some wait; return what ends the others."""
        old = self._points
        before = {series: number for number, series in enumerate(old.series)}
        ended = self._ended(before.keys() - set(given) - set(waiting), at)
        new = self._points = _Points.of((*given, *waiting), self._labels, self._start)
        if self._start == at:  # an incarnation that begins
            return ended
        for number, series in enumerate(new.series):
            if series in before:
                new.continue_(number, old, before[series])
            elif new.starts[number]:  # a device that came since
                new.starts[number] = self._seen
        return ended

    def _ended(self, gone: Iterable[Series], at: int) -> bytes:
        message, points = _build(gone, self._start, self._labels)
        for point in points.values():
            point.time_unix_nano = at
            point.flags = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
        return message.SerializeToString() if points else b""


class _Points:
    """Hold what changes of the points of some series, each in its place; `starts` of a gauge are 0."""

    __slots__ = ("_template", "series", "starts", "times", "values")

    def __init__(self, series: tuple[Series, ...], template: PointTemplate, starts: Iterable[int]) -> None:
        self.series = series
        self.starts = array("Q", starts)
        self._template = template
        self.times = array("Q", bytes(8 * len(series)))
        self.values = array("d", bytes(8 * len(series)))

    @classmethod
    def of(cls, series: tuple[Series, ...], labels: _Labels, start: int) -> "_Points":
        """Return points that begin at `start`, in nanoseconds since 1970."""
        series, template = _shared(series, labels)
        return cls(series, template, [start if _FIGURES[key].counter else 0 for key, _ in series])

    def continue_(self, number: int, other: "_Points", place: int) -> None:
        """Let a point continue another one."""
        self.starts[number], self.times[number] = other.starts[place], other.times[place]
        self.values[number] = other.values[place]

    def begin_by(self, at: int) -> None:
        """Let no point begin, or be, later than an instant."""
        self.starts = array("Q", [min(start, at) for start in self.starts])
        self.times = array("Q", [min(time, at) for time in self.times])

    def take(self, values: Collection[float], at: int) -> None:
        """Take the values of the first points; the others wait."""
        starts, times, new = self.starts, self.times, array("d", values)
        for number, (value, before) in enumerate(zip(new, self.values, strict=False)):
            if value < before and starts[number]:  # a counter that went back restarted since
                starts[number] = times[number]
        self.values[: len(new)] = new
        times[: len(new)] = array("Q", [at]) * len(new)

    def message(self) -> bytes:
        """Return all points, serialised; nothing where there is none."""
        return self._template.filled(self.starts, self.times, self.values) if self.series else b""


@lru_cache(64)
def _shared(series: tuple[Series, ...], labels: _Labels) -> tuple[tuple[Series, ...], PointTemplate]:
    """Return one template for all targets that have the same series and labels."""
    figures = ((_FIGURES[key], key, device) for key, device in series)
    return series, PointTemplate([(figure, figure.labels(device, labels.of(key))) for figure, key, device in figures])


def _build(
    series: Iterable[Series], start: int, labels: _Labels
) -> tuple[ResourceMetrics, dict[Series, NumberDataPoint]]:
    scope = ScopeMetrics()
    scope.scope.name = SCOPE
    metrics: dict[str, Metric] = {}
    points: dict[Series, NumberDataPoint] = {}
    message = ResourceMetrics(scope_metrics=[scope])
    for key, device in series:
        figure = _FIGURES[key]
        if figure.metric not in metrics:
            metrics[figure.metric] = _metric(message.scope_metrics[0], figure)
        points[key, device] = _point(metrics[figure.metric], figure, figure.labels(device, labels.of(key)), start)
    return message, points


def _metric(scope: ScopeMetrics, figure: Figure) -> Metric:
    metric: Metric = scope.metrics.add(name=figure.metric, unit=figure.unit, description=figure.description)
    if figure.counter:
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    return metric


def _point(metric: Metric, figure: Figure, labels: Iterable[tuple[str, str]], start: int) -> NumberDataPoint:
    attributes = key_values(labels)
    points = metric.sum.data_points if figure.counter else metric.gauge.data_points
    point: NumberDataPoint = points.add(attributes=attributes, start_time_unix_nano=start if figure.counter else 0)
    return point
