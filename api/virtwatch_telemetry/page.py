"""The process's own metrics as a page for Prometheus to scrape, for whoever has no OTLP backend; off by default."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from threading import Thread
from wsgiref.simple_server import WSGIServer

from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    MetricsData,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as Collected
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

_UNITS: Mapping[str, str] = {"s": "seconds", "By": "bytes", "By/s": "bytes_per_second", "1": "ratio"}


class Page(Collector):
    """Collect what the SDK's reader holds, in Prometheus' names."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.more: list[Collector] = []  # what the page shows besides

    def serve(self, port: int) -> tuple[WSGIServer, Thread]:
        """Serve the page on a port, 0 for any; return its server and the server's thread, which ends with the process.

        Raises:
            OSError: the port is taken.
        """
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        for collector in self.more:
            registry.register(collector)
        ProcessCollector(registry=registry)
        server, thread = start_http_server(port, registry=registry)
        return server, thread

    def collect(self) -> Iterator[Family]:
        """Yield each metric with its points."""
        data = self.reader.get_metrics_data()
        yield from _families(data) if data is not None else ()


def _families(data: MetricsData) -> Iterator[Family]:
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield _family(metric)


def _family(metric: Collected) -> Family:
    name = prometheus_name(metric.name, metric.unit or "")
    points: list[Point] = [*metric.data.data_points]
    description = metric.description or ""
    labels = sorted({key for point in points for key in point.attributes or {}})
    if isinstance(metric.data, Histogram):
        return _histogram(HistogramMetricFamily(name, description, labels=_names(labels)), labels, points)
    made: CounterMetricFamily | GaugeMetricFamily
    if isinstance(metric.data, Sum) and metric.data.is_monotonic:
        made = CounterMetricFamily(name, description, labels=_names(labels))
    else:
        made = GaugeMetricFamily(name, description, labels=_names(labels))
    for point in points:
        if isinstance(point, NumberDataPoint):
            made.add_metric(_values(labels, point), point.value)
    return made


def _histogram(made: HistogramMetricFamily, labels: list[str], points: Iterable[Point]) -> HistogramMetricFamily:
    for point in points:
        if isinstance(point, HistogramDataPoint):
            bounds = [*(f"{bound:g}" for bound in point.explicit_bounds), "+Inf"]
            counts = accumulate(point.bucket_counts)
            made.add_metric(_values(labels, point), list(zip(bounds, counts, strict=True)), sum_value=point.sum)
    return made


def _names(labels: Iterable[str]) -> list[str]:
    return [label_name(label) for label in labels]


def prometheus_name(metric: str, unit: str) -> str:
    """Name a metric as Prometheus does, by its OTel name and unit; a counter's `_total` comes on top."""
    word, name = _UNITS.get(unit, ""), metric.replace(".", "_")
    return f"{name}_{word}" if word and not name.endswith(word) else name


def label_name(attribute: str) -> str:
    """Name a label as Prometheus does."""
    return attribute.replace(".", "_")


def _values(labels: Iterable[str], point: Point) -> list[str]:
    return [str((point.attributes or {}).get(label, "")) for label in labels]
