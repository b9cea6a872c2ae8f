"""Turns readings into signals by the catalogue's formulas.

One Deriver per domain remembers each source's last sample. Where the readings of a formula stand in a sample is found
once for all samples of the same series, and what is as it was before is not worked out again.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from math import nan

from virtwatch_agent.judge.steps import step_of
from virtwatch_agent.observations import Glimpse, Sample, Series
from virtwatch_api.catalogue.absence import why_absent
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.catalogue.signals import SIGNAL, Formula, Rate
from virtwatch_rules.inputs import Measured, Point


class Deriver:
    """Derive the wanted signals of one domain; rates need two samples of one incarnation."""

    def __init__(self) -> None:
        self._wanted: dict[Source, tuple[str, ...]] = {}
        self._last: dict[Source, _Past] = {}
        self._given: dict[str, float] = {}  # when each signal had a point last, monotonic seconds
        self._received: dict[Source, float] = {}  # when each source gave anything last

    def want(self, names: Iterable[str]) -> None:
        """Choose the signals to derive; what is remembered of samples stays."""
        self._wanted = _by_source(tuple(sorted(set(names))))

    def measure(self, sample: Sample, *, due: float, before: Glimpse | None = None) -> Measured | None:
        """Return what a sample reports the wanted signals; None of one that came late or twice, or reports none.

        `due` is when it was due, seconds since 1970. Rates of counters in `before` are over the time since then: what
        they were until then, `until` tells.
        """
        source = sample.source
        self._received[source] = sample.clock
        wanted = self._wanted.get(source)
        if not wanted:
            return None
        last = self._last.get(source)
        if last is not None and last.incarnation != sample.incarnation:
            last = None
        if last is not None and sample.clock <= last.clock:
            return None
        newest = self._last[source] = _past(sample, wanted, last)
        layout, moment = newest.layout, _moment(newest, last, before)
        if last is not None and moment is None and newest.is_as(last):
            # Nothing grew, however long it took: what was derived of that last time is true of this one.
            derived = newest.still = last.still or layout.derive(newest, last)
        elif moment is None:
            derived = layout.derive(newest, last)
        else:
            derived = layout.derive(newest, last, moment)
        for name in derived.given:
            self._given[name] = sample.clock
        return Measured(due, derived.points, derived.signals, layout.devices)

    def until(self, sample: Sample, before: Glimpse, *, due: float) -> Measured | None:
        """Return what the counters of a glimpse report the time from the last sample to it; None where it counts not.

        To be asked before `measure` takes the sample to which the glimpse led. `due` is the glimpse's instant, seconds
        since 1970. Without it the time since the last sample would be reported by the moment after the glimpse alone.
        """
        last, wanted = self._last.get(sample.source), self._wanted.get(sample.source, ())
        if last is None or last.incarnation != sample.incarnation:
            return None
        moment = _moment(_past(sample, wanted, last), last, before)
        if moment is None:
            return None
        # What a formula divides by, as the number of vCPUs, is no counter: it is as the sample has it.
        counted = {key for key, _ in before.values}
        values = {series: value for series, value in sample.values.items() if series[0] not in counted}
        moment.values = {**values, **before.values}
        moment.layout = _layout(tuple(moment.values), wanted)
        names = [step.name for step in moment.layout.steps if _since(step.formula, last, moment, counted) is moment]
        derived = _layout(moment.layout.series, tuple(names)).derive(moment, last)
        return Measured(due, derived.points, frozenset(names)) if derived.points else None

    def given(self, name: str) -> float:
        """Return when a signal had a point last, monotonic seconds; long ago where it never had one."""
        return self._given.get(name, float("-inf"))

    def gave(self, name: str) -> bool:
        """Return whether a signal ever had a point."""
        return name in self._given

    def received(self, *sources: Source) -> bool:
        """Return whether one of these sources ever gave anything."""
        return any(source in self._received for source in sources)

    def absence(self, name: str, *, since: float = float("-inf")) -> str:
        """Say why a signal has no value; a source that gave nothing since then (monotonic seconds) gives nothing."""
        fresh = {source: {key for key, _ in look.values} for source, look in self._last.items() if look.clock >= since}
        said = {key: why for look in self._last.values() for key, why in look.unavailable.items()}
        return why_absent(name, fresh, said)

    def derive(self, sample: Sample) -> Sequence[Point]:
        """Return the points that a sample completes."""
        look = self.measure(sample, due=sample.at)
        return () if look is None else look.points


@dataclass(frozen=True, slots=True)
class _Derived:
    """Hold what follows from a sample: points, the signals that it reports, and those of which there is a point."""

    points: Sequence[Point]
    signals: frozenset[str]
    given: Sequence[str]


@dataclass(slots=True)
class _Past:
    """Hold one sample as it came: there is one for each source of each target, and nothing of it is copied."""

    incarnation: str
    clock: float
    counted: float  # seconds of the clock by which the counters run
    values: Mapping[Series, float]
    unavailable: Mapping[str, str]
    layout: "_Layout"
    still: _Derived | None = None  # what follows while all values stay as they are

    def is_as(self, last: "_Past") -> bool:
        """Return whether nothing has changed."""
        return (
            self.layout is last.layout
            and self.counted > last.counted
            and (self.values is last.values or self.values == last.values)
        )

    def row(self, layout: "_Layout") -> Sequence[float]:
        """Return the values in the order of a layout; not a number where there is none."""
        if self.layout is layout or self.layout.series == layout.series:
            return list(self.values.values())
        return [self.values.get(series, nan) for series in layout.series]


class _Layout:
    """Derive some signals of samples that have the same series."""

    __slots__ = ("devices", "giving", "names", "series", "signals", "steps")

    def __init__(self, series: tuple[Series, ...], names: tuple[str, ...]) -> None:
        rows: dict[str, list[tuple[str, int]]] = {}
        for place, (key, device) in enumerate(series):
            rows.setdefault(key, []).append((device, place))
        self.series = series
        self.names = names
        self.devices = frozenset(device for _, device in series if device)
        self.steps = tuple(step_of(SIGNAL[name], rows) for name in names)
        self.giving = tuple(step for step in self.steps if step.gives)
        self.signals = frozenset(names)

    def derive(self, newest: _Past, last: _Past | None, moment: _Past | None = None) -> _Derived:
        """Work out the points of a sample; rates since the `moment` before it, where that holds their counters."""
        now, before = newest.row(self), None if last is None else last.row(self)
        seconds = 0.0 if last is None else newest.counted - last.counted
        points: list[Point] = []
        given = []
        waiting = set()
        for step in self.giving:
            if step.clock and last is not None and _stands(step.clock, newest, last):
                waiting.add(step.name)
                continue
            since, passed = before, seconds
            if moment is not None and _since(step.formula, last, moment, {key for key, _ in moment.values}) is moment:
                since, passed = moment.row(self), newest.counted - moment.counted
            if found := step.points(now, since, passed):
                points += found
                given.append(step.name)
        return _Derived(points, self.signals - waiting if waiting else self.signals, given)


@lru_cache(64)
def _by_source(names: tuple[str, ...]) -> dict[Source, tuple[str, ...]]:
    """Sort signals that can be derived by what they are derived of; one object for all targets that want the same."""
    signals = [SIGNAL[name] for name in names]
    return {
        source: tuple(item.name for item in signals if source in item.sources and item.formula is not None)
        for source in {source for signal in signals for source in signal.sources}
    }


@lru_cache(64)
def _layout(series: tuple[Series, ...], names: tuple[str, ...]) -> _Layout:
    """Return one layout for all targets whose devices have the same names."""
    return _Layout(series, names)


def _past(sample: Sample, wanted: tuple[str, ...], last: _Past | None) -> _Past:
    layout = None if last is None else last.layout
    if layout is None or layout.names != wanted:
        layout = _layout(tuple(sample.values), wanted)
    elif last is not None and sample.values is not last.values and layout.series != (series := tuple(sample.values)):
        layout = _layout(series, wanted)
    counted = sample.clock + sample.slept
    return _Past(sample.incarnation, sample.clock, counted, sample.values, sample.unavailable, layout)


def _moment(look: _Past, last: _Past | None, before: Glimpse | None) -> _Past | None:
    """Return the moment before a look, if it is newer than the last one."""
    if before is None or last is None or not last.clock < before.clock < look.clock:
        return None
    slept = look.counted - look.clock
    layout = _layout(tuple(before.values), look.layout.names)
    return _Past(look.incarnation, before.clock, before.clock + slept, before.values, {}, layout)


def _since(formula: Formula, last: _Past | None, moment: _Past, holds: Set[str]) -> _Past | None:
    """Return since when a rate is derived: since the moment before, where that `holds` its counters."""
    if not isinstance(formula, Rate) or formula.clock is not None:
        return last
    counters = (*formula.readings, *((formula.less,) if formula.less else ()))
    known = {key for key, _ in last.values} if last is not None else set()
    return moment if all(key in holds for key in counters if key in known) else last


def _stands(clock: str, look: _Past, last: _Past) -> bool:
    """Return whether the target itself has reported nothing new since the last look: that is no missing sample."""
    return look.values.get((clock, "")) == last.values.get((clock, ""))
