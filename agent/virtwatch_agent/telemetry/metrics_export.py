"""Sends what was measured of VMs, and of the node.

Callers leave their newest samples here, one thread writes and sends them at each interval.
"""

import logging
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from virtwatch_agent.export_settings import USUAL, ExportSettings
from virtwatch_agent.observations import Sample
from virtwatch_agent.telemetry.identity import target_resource
from virtwatch_agent.telemetry.summaries import Counted
from virtwatch_agent.telemetry.target_metrics import TargetMetrics
from virtwatch_api.catalogue.instruments import Exported, exported
from virtwatch_api.catalogue.readings import Instrument, Source
from virtwatch_api.targets import Subject, TargetRef
from virtwatch_rules.inputs import Point

if TYPE_CHECKING:
    from virtwatch_telemetry.channel import Channel

_log = logging.getLogger("virtwatch.telemetry")
CHUNK = 2 * 1024 * 1024  # bytes before compression; receivers take 4 MiB by default


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Say what is exported of a target beside its readings, and how many series at most."""

    signals: Exported
    most: int


# With the pod's uid: what a target's Resource is made of, and what is exported of it.
_Names = tuple[Subject, str | None, _Chosen]
_Left = tuple[_Names, Sample]
_MOST_COUNTED = 4096  # values of a target's summaries between two exports: ten disks, each second, for two minutes


class MetricsExport:
    """Keep the newest sample of each target and source until it is sent; what is not sent in time is dropped."""

    def __init__(
        self,
        channel: "Channel",
        *,
        interval: float,
        resource: Mapping[str, object],
        histograms: bool,
        settings: ExportSettings = USUAL,
    ) -> None:
        """`interval` is in seconds; without `histograms` summaries are gauges."""
        self._channel = channel
        self._interval = interval
        self._resource = resource
        self._histograms = histograms
        self._settings = settings
        self._usual = _Chosen(self._exported(frozenset()), settings.most_series)
        self._chosen: dict[TargetRef, _Chosen] = {}
        self._left: dict[tuple[TargetRef, Source], _Left] = {}
        self._counted: dict[TargetRef, list[Counted]] = {}
        self._gone: dict[TargetRef, float] = {}
        self._lock = threading.Lock()
        self._targets: dict[TargetRef, tuple[_Names, TargetMetrics]] = {}
        self.cut_by_policies: Mapping[TargetRef, int] = {}  # how many series, as of the last export
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="target-metrics", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def choose(
        self, target: TargetRef, instruments: frozenset[tuple[str, Instrument]], *, series: int = 0
    ) -> frozenset[str]:
        """Take how policies want signals of a target exported; return those of which every value is.

        `series` bounds them below what any target may have; 0 does not.
        """
        most = self._settings.most_series
        chosen = _Chosen(self._exported(instruments), min(series or most, most))
        with self._lock:
            if chosen == self._usual:
                self._chosen.pop(target, None)
            else:
                self._chosen[target] = chosen
        return chosen.signals.summaries

    def _exported(self, instruments: frozenset[tuple[str, Instrument]]) -> Exported:
        chosen = exported(instruments)
        return chosen if self._histograms else chosen.without_summaries()

    def sample(self, subject: Subject, sample: Sample, *, pod_uid: str | None, points: Iterable[Point] = ()) -> None:
        """Leave a sample; it replaces an older one that was not sent yet. The `points` of summaries all count."""
        chosen = self._chosen.get(sample.target, self._usual)
        counted = [
            Counted(sample.incarnation, (name, device), value, sample.at)
            for name, device, value in points
            if value is not None and name in chosen.signals.summaries
        ]
        with self._lock:
            if counted and len(kept := self._counted.setdefault(sample.target, [])) < _MOST_COUNTED:
                kept += counted
            self._gone.pop(sample.target, None)
            self._left[sample.target, sample.source] = ((subject, pod_uid, chosen), sample)

    def forget(self, target: TargetRef, *, at: float) -> None:
        """End the series of a target `at` seconds since 1970, after what it left was sent."""
        with self._lock:
            self._gone[target] = at

    def cut(self) -> float:
        """Return how many series are not exported, because a target has more of them than it may."""
        return sum(metrics.cut for _, metrics in list(self._targets.values()))

    def _cuts(self) -> Iterator[tuple[TargetRef, _Names, int]]:
        for target, (names, metrics) in list(self._targets.items()):
            if metrics.cut:
                yield target, names, metrics.cut

    @property
    def problem(self) -> str:
        """Return a sentence about series that are not exported, though no policy wants that; empty without any."""
        most = self._settings.most_series
        cut = [(names[0].label, cut) for _, names, cut in self._cuts() if names[2].most == most]
        if not cut:
            return ""
        label, series = max(cut, key=lambda item: item[1])
        others = f", nor some of {len(cut) - 1} others" if len(cut) > 1 else ""
        return (
            f"Telemetry: {series} series of {label} are not exported{others}: a target has "
            f"{most} at most; raise VIRTWATCH_EXPORT_SERIES if they are wanted."
        )

    def stop(self) -> None:
        """Send what is left and end; the channel's own deadline bounds it."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        # A random first instant, so that the agents of a cluster do not all send at once.
        due = time.monotonic() + random.uniform(0, self._interval)
        while not self._stopping.wait(max(due - time.monotonic(), 0.0)):
            self._export_safely(due + self._interval)
            due = max(due + self._interval, time.monotonic())
        self._export_safely(float("inf"))

    def _export_safely(self, until: float) -> None:
        try:
            self._export(until)
        except Exception:  # noqa: BLE001 - a loop's edge
            _log.exception("Metrics of one interval were lost; the next ones are tried. Please report this.")

    def _export(self, until: float) -> None:
        for chunk in _chunks(self._render()):
            within = until - time.monotonic()
            if within > 0:
                self._channel.deliver(chunk, within=within)
        most = self._settings.most_series
        self.cut_by_policies = {target: cut for target, names, cut in self._cuts() if names[2].most < most}

    def _render(self) -> Iterator[bytes]:
        with self._lock:
            left, self._left = self._left, {}
            counted, self._counted = self._counted, {}
            gone, self._gone = self._gone, {}
        by_target: dict[TargetRef, list[_Left]] = {}
        for item in left.values():
            by_target.setdefault(item[1].target, []).append(item)
        for target, items in by_target.items():
            yield from self._render_target(target, items, counted.get(target, ()))
        for target, at in gone.items():
            known = self._targets.pop(target, None)
            self._chosen.pop(target, None)
            if known is not None:
                yield known[1].end(at)

    def _render_target(self, target: TargetRef, items: list[_Left], counted: Sequence[Counted]) -> Iterator[bytes]:
        names, newest = max(items, key=lambda item: item[1].at)
        known = self._targets.get(target)
        if known is None or known[0] != names:
            if known is not None:
                # Other names make other series: those under the old names end here.
                yield known[1].end(newest.at)
            subject, pod_uid, chosen = names
            described = target_resource(subject, pod_uid, self._resource)
            settings = replace(self._settings, most_series=chosen.most)
            known = self._targets[target] = (names, TargetMetrics(described, chosen.signals, subject, settings))
        summaries = names[2].signals.summaries  # others were counted before policies chose another instrument
        counted = [item for item in counted if item.series[0] in summaries]
        yield known[1].render([sample for _, sample in items], counted)


def _chunks(requests: Iterable[bytes]) -> Iterator[bytes]:
    """Join serialised requests, which are one request then, up to CHUNK bytes."""
    chunk: list[bytes] = []
    size = 0
    for request in requests:
        if chunk and size + len(request) > CHUNK:
            yield b"".join(chunk)
            chunk, size = [], 0
        chunk.append(request)
        size += len(request)
    if size:
        yield b"".join(chunk)
