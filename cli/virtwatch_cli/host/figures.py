"""One line about the host: each figure is a signal of the catalogue, by the agent's own formulas. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Sample
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_rules.inputs import Point

# Column, and the signal that it shows; of devices the sum, or the greatest share.
COLUMNS = {
    "CPU": "node.cpu.utilization",
    "IOWAIT": "node.cpu.iowait.ratio",
    "LOAD/CPU": "node.load.ratio",
    "MEMORY FREE": "node.memory.available.ratio",
    "SWAPPED": "node.swap.rate",
    "READ": "node.disk.read.rate",
    "READS": "node.disk.read.operations.rate",
    "WRITTEN": "node.disk.write.rate",
    "WRITES": "node.disk.write.operations.rate",
    "DISK BUSY": "node.disk.utilization",
}
_STACKED = ("dm-", "md")  # disks that are made of others, which count already
SOURCES = (Source.NODE, Source.NODE_DISKS)


@dataclass(frozen=True, slots=True)
class Line:
    """Hold the figures of one instant, seconds since 1970, by signal and device; what is unknown is left out."""

    at: float
    values: Mapping[str, Mapping[str, float]]

    def cells(self) -> list[str]:
        """Return what each column shows; "-" where there is no figure."""
        return [self._cell(signal) for signal in COLUMNS.values()]

    def _cell(self, name: str) -> str:
        values, signal = self.values.get(name, {}), SIGNAL[name]
        if not values:
            return "-"
        if signal.range.share:
            return signal.format(max(values.values()))
        return signal.format(sum(value for device, value in values.items() if not device.startswith(_STACKED)))

    def document(self) -> Mapping[str, object]:
        """Return the figures for machines: by signal, and of devices by device."""
        return {name: values[""] if "" in values else dict(values) for name, values in self.values.items()}


class Figures:
    """Join the samples of one instant to a line."""

    def __init__(self) -> None:
        self._deriver = Deriver()
        self._deriver.want(COLUMNS.values())
        self._points: dict[Source, tuple[Point, ...]] = {}
        self._complete = False

    def take(self, sample: Sample) -> Line | None:
        """Take a sample; return a line once each source brought its figures of this instant."""
        measured = self._deriver.measure(sample, due=sample.at)
        self._points[sample.source] = tuple(measured.points) if measured is not None else ()
        if len(self._points) < len(SOURCES):
            return None
        points = [point for found in self._points.values() for point in found]
        self._points.clear()
        first, self._complete = not self._complete, True
        if first:
            return None  # rates need two looks
        values: dict[str, dict[str, float]] = {}
        for signal, device, value in ((point.signal, point.device, point.value) for point in points):
            if value is not None:
                values.setdefault(signal, {})[device] = value
        return Line(sample.at, values)
