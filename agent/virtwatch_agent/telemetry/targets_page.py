"""What is measured of VMs and of the node, as a page for Prometheus to scrape: for whoever has no OTLP backend."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from virtwatch_agent.export_settings import ExportSettings
from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Sample, Series
from virtwatch_agent.telemetry.figures import FIGURES, Figure
from virtwatch_agent.telemetry.identity import target_attributes
from virtwatch_agent.telemetry.kubevirt_names import KUBEVIRT_FIGURES, again, identity
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.instruments import exported
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import Subject, TargetRef
from virtwatch_telemetry.page import label_name, prometheus_name

_OLD_S = 300.0  # after which a value is no longer shown, as Prometheus has it
_ALL = exported()
_DERIVED = _ALL.gauges | _ALL.summaries


@dataclass(slots=True)
class _Shown:
    subject: Subject
    newest: dict[Source, Sample] = field(default_factory=dict)
    run: dict[Source, str] = field(default_factory=dict)  # the incarnation of which `derived` is
    derived: dict[Source, Mapping[Series, float]] = field(default_factory=dict)
    deriver: Deriver = field(default_factory=Deriver)
    cut: int = 0  # how many series were left out when the page was asked last

    def __post_init__(self) -> None:
        self.deriver.want(_DERIVED)

    def values(self, source: Source) -> Mapping[Series, float]:
        """Return the readings of a source, and what follows from them since the page was asked last."""
        sample = self.newest[source]
        if self.run.get(source) != sample.incarnation:
            self.run[source] = sample.incarnation
            self.derived.pop(source, None)  # of the run before
        look = self.deriver.measure(sample, due=sample.at)
        if look is not None:
            points = {(name, device): value for name, device, value in look.points if value is not None}
            # What the guest has not reported anew stands; an idle disk has no latency any more.
            waiting = {
                item: value for item, value in self.derived.get(source, {}).items() if item[0] not in look.signals
            }
            self.derived[source] = waiting | points
        return {**sample.values, **self.derived.get(source, {})}


class TargetsPage(Collector):
    """Keep the newest samples; a rate is the mean between two questions."""

    def __init__(self, settings: ExportSettings, monotonic: Callable[[], float]) -> None:
        """`monotonic` returns the seconds of the clock by which samples say when they were taken."""
        self._settings = settings
        self._monotonic = monotonic
        self._shown: dict[TargetRef, _Shown] = {}
        self._bounds: dict[TargetRef, int] = {}
        self._lock = threading.Lock()
        self.cut_by_policies: Mapping[TargetRef, int] = {}  # how many series, as of the last question

    def sample(self, subject: Subject, sample: Sample) -> None:
        """Keep a sample."""
        with self._lock:
            shown = self._shown.get(sample.target)
            if shown is None or shown.subject != subject:
                shown = self._shown[sample.target] = _Shown(subject)
            shown.newest[sample.source] = sample

    def bound(self, target: TargetRef, series: int) -> None:
        """Show so many series of a target at most, as policies want; 0 for as many as any may have."""
        with self._lock:
            if series:
                self._bounds[target] = series
            else:
                self._bounds.pop(target, None)

    def forget(self, target: TargetRef) -> None:
        """Show nothing of a target that is gone."""
        with self._lock:
            self._shown.pop(target, None)
            self._bounds.pop(target, None)

    def cut(self) -> float:
        """Return how many series of all targets were left out when the page was asked last."""
        with self._lock:
            return sum(shown.cut for shown in self._shown.values())

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield each metric with the points of all targets."""
        rows: dict[str, tuple[Figure, list[tuple[dict[str, str], float]]]] = {}
        cut: dict[TargetRef, int] = {}
        with self._lock:
            for target, shown in self._shown.items():
                most = min(self._settings.most_series, self._bounds.get(target, self._settings.most_series))
                for figure, labels, value in self._points(shown, most):
                    rows.setdefault(prometheus_name(figure.metric, figure.unit), (figure, []))[1].append(
                        (labels, value)
                    )
                if shown.cut and most < self._settings.most_series:
                    cut[target] = shown.cut
        self.cut_by_policies = cut
        for name, (figure, points) in rows.items():
            yield _family(name, figure, points)

    def _points(self, shown: _Shown, left: int) -> Iterator[tuple[Figure, dict[str, str], float]]:
        named = target_attributes(shown.subject)
        now, shown.cut = self._monotonic(), 0
        for source, sample in shown.newest.items():
            if sample.clock < now - _OLD_S:
                continue
            values = shown.values(source)
            for (key, device), value in list(values.items())[:left]:
                if (figure := FIGURES.get(key)) is not None:
                    yield figure, {**named, **dict(figure.attributes), **_device(figure, device)}, value
            shown.cut += max(0, len(values) - left)
            left -= min(left, len(values))
            if self._settings.kubevirt_names and shown.subject.target.kind is TargetKind.VIRTUAL_MACHINE:
                named_again = again(sample.values)
                for (key, device), value in list(named_again.items())[:left]:
                    figure = KUBEVIRT_FIGURES[key]
                    yield figure, {**dict(identity(shown.subject)), **_device(figure, device)}, value
                shown.cut += max(0, len(named_again) - left)
                left -= min(left, len(named_again))


def _device(figure: Figure, device: str) -> dict[str, str]:
    return {figure.device: device} if figure.device else {}


def _family(
    name: str, figure: Figure, points: Iterable[tuple[dict[str, str], float]]
) -> CounterMetricFamily | GaugeMetricFamily:
    points = list(points)
    labels = sorted({label for known, _ in points for label in known})
    family = CounterMetricFamily if figure.counter else GaugeMetricFamily
    made = family(name, figure.description, labels=[label_name(label) for label in labels])
    for known, value in points:
        made.add_metric([known.get(label, "") for label in labels], value)
    return made
