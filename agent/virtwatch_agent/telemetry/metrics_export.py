"""Sends what was measured of VMs, and of the node.

Callers leave their newest samples here, one thread writes and sends them at each interval.
"""

import logging
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING

from virtwatch_agent.observations import Sample
from virtwatch_agent.telemetry.identity import target_resource
from virtwatch_agent.telemetry.summaries import Counted
from virtwatch_agent.telemetry.target_metrics import TargetMetrics
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import Subject, TargetRef
from virtwatch_rules.inputs import Point

if TYPE_CHECKING:
    from virtwatch_telemetry.channel import Channel

_log = logging.getLogger("virtwatch.telemetry")
CHUNK = 2 * 1024 * 1024  # bytes before compression; receivers take 4 MiB by default

_Names = tuple[Subject, str | None]  # with the pod's uid: what a target's Resource is made of
_Left = tuple[_Names, Sample]
_MOST_COUNTED = 4096  # values of a target's summaries between two exports: ten disks, each second, for two minutes


class MetricsExport:
    """Keep the newest sample of each target and source until it is sent; what is not sent in time is dropped."""

    def __init__(
        self, channel: "Channel", *, interval: float, resource: Mapping[str, object], summaries: Set[str]
    ) -> None:
        """`interval` is in seconds; of `summaries` every value is sent."""
        self._channel = channel
        self._interval = interval
        self._resource = resource
        self._summaries = summaries
        self._left: dict[tuple[TargetRef, Source], _Left] = {}
        self._counted: dict[TargetRef, list[Counted]] = {}
        self._gone: dict[TargetRef, float] = {}
        self._lock = threading.Lock()
        self._targets: dict[TargetRef, tuple[_Names, TargetMetrics]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="target-metrics", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def sample(self, subject: Subject, sample: Sample, *, pod_uid: str | None, points: Iterable[Point] = ()) -> None:
        """Leave a sample; it replaces an older one that was not sent yet. The `points` of summaries all count."""
        counted = [
            Counted(sample.incarnation, (name, device), value, sample.at)
            for name, device, value in points
            if value is not None and name in self._summaries
        ]
        with self._lock:
            if counted and len(kept := self._counted.setdefault(sample.target, [])) < _MOST_COUNTED:
                kept += counted
            self._gone.pop(sample.target, None)
            self._left[sample.target, sample.source] = ((subject, pod_uid), sample)

    def forget(self, target: TargetRef, *, at: float) -> None:
        """End the series of a target `at` seconds since 1970, after what it left was sent."""
        with self._lock:
            self._gone[target] = at

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
            if known is not None:
                yield known[1].end(at)

    def _render_target(self, target: TargetRef, items: list[_Left], counted: Sequence[Counted]) -> Iterator[bytes]:
        names, newest = max(items, key=lambda item: item[1].at)
        known = self._targets.get(target)
        if known is None or known[0] != names:
            if known is not None:
                # Other names make other series: those under the old names end here.
                yield known[1].end(newest.at)
            described = target_resource(*names, self._resource)
            known = self._targets[target] = (names, TargetMetrics(described, self._summaries))
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
