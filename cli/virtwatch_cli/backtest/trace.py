"""The values of each series, thinned as they come: least and greatest of each piece of time, at most 1,000 pieces."""

from collections.abc import Mapping, Sequence, Set

from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.recording import RecordedSample, TargetName
from virtwatch_rules.registry import engine_of

_MOST_PIECES = 1000

Series = tuple[TargetName, str, str]  # target, signal, device


class Trace:
    """Hold one series as pieces of (begin, least, greatest)."""

    __slots__ = ("pieces", "width")

    def __init__(self) -> None:
        self.width = 1.0  # seconds
        self.pieces: list[tuple[float, float, float]] = []

    def note(self, at: float, value: float) -> None:
        """Take a value."""
        if self.pieces and at - self.pieces[-1][0] < self.width:
            begin, least, greatest = self.pieces[-1]
            self.pieces[-1] = begin, min(least, value), max(greatest, value)
            return
        self.pieces.append((at, value, value))
        if len(self.pieces) > _MOST_PIECES:
            self._thin()

    def _thin(self) -> None:
        self.width *= 2
        pieces, self.pieces = self.pieces, []
        for begin, least, greatest in pieces:
            if self.pieces and begin - self.pieces[-1][0] < self.width:
                first, low, high = self.pieces[-1]
                self.pieces[-1] = first, min(low, least), max(high, greatest)
            else:
                self.pieces.append((begin, least, greatest))


class Traces:
    """Keep the series that some rule judges."""

    def __init__(self, thresholds: Sequence[ThresholdSet]) -> None:
        self._signals: set[str] = set()
        self._traces: dict[Series, Trace] = {}
        for item in thresholds:
            for rule in item.rules:
                engine = engine_of(rule.body)
                if engine is not None:
                    wants = engine.wants(rule.body, interval=item.collection.interval)
                    self._signals |= {wanted.signal for wanted in wants.inputs}

    def note(self, sample: RecordedSample) -> None:
        """Take a sample."""
        value = sample.value
        if value is None:
            return
        trace = self._traces.get(sample[1:4])
        if trace is None:
            if sample.signal not in self._signals:
                return
            trace = self._traces[sample[1:4]] = Trace()
        trace.note(sample.at, value)

    def kept(self, wanted: Set[tuple[TargetName, str]]) -> Mapping[Series, Trace]:
        """Return the series of some targets' signals."""
        return {key: trace for key, trace in self._traces.items() if key[:2] in wanted}

    def add(self, traces: Mapping[Series, Trace]) -> None:
        """Take series that were traced in another place."""
        self._traces.update(traces)

    def of(self, target: TargetName, signal: str, device: str) -> Trace | None:
        """Return a series; of a signal that has devices, the first where none is named."""
        found = self._traces.get((target, signal, device))
        if found is None and not device:
            return next((trace for key, trace in self._traces.items() if key[:2] == (target, signal)), None)
        return found
