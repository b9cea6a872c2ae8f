"""Turns readings into signals by the catalogue's formulas.

One Deriver per domain remembers each source's last sample.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from virtwatch_agent.observations import Sample, Series
from virtwatch_api.catalogue.absence import why_absent
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.catalogue.signals import SIGNAL, Across, Formula, Rate, RateRatio, Signal, Value
from virtwatch_rules.inputs import Measured, Point

# Readings of one sample by key, then device.
Grouped = Mapping[str, Mapping[str, float]]

_NOTHING: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class _Look:
    """Hold one sample, grouped once for all formulas."""

    incarnation: str
    clock: float
    counted: float  # seconds of the clock by which the counters run
    values: Grouped
    unavailable: Mapping[str, str]


class Deriver:
    """Derive the wanted signals of one domain; rates need two samples of one incarnation."""

    def __init__(self) -> None:
        self._wanted: dict[Source, tuple[Signal, ...]] = {}
        self._last: dict[Source, _Look] = {}
        self._given: dict[str, float] = {}  # when each signal had a point last, monotonic seconds
        self._heard: dict[Source, float] = {}  # when each source gave anything last

    def want(self, names: Iterable[str]) -> None:
        """Choose the signals to derive; what is remembered of samples stays."""
        signals = [SIGNAL[name] for name in sorted(set(names))]
        self._wanted = {
            source: tuple(signal for signal in signals if source in signal.sources and signal.formula is not None)
            for source in {source for signal in signals for source in signal.sources}
        }

    def measure(self, sample: Sample, *, due: float) -> Measured | None:
        """Return what a sample tells of the wanted signals; None of one that came late or twice, or tells of none.

        `due` is when it was due, seconds since 1970.
        """
        self._heard[sample.source] = sample.clock
        wanted = self._wanted.get(sample.source)
        if not wanted:
            return None
        last = self._last.get(sample.source)
        if last is not None and last.incarnation != sample.incarnation:
            last = None
        if last is not None and sample.clock <= last.clock:
            return None
        look = self._last[sample.source] = _Look(
            sample.incarnation,
            sample.clock,
            sample.clock + sample.slept,
            _grouped(sample.values),
            sample.unavailable,
        )
        points: list[Point] = []
        told = set()
        for signal in wanted:
            assert signal.formula is not None
            if _waits(signal.formula, look, last):
                continue
            told.add(signal.name)
            values = _evaluate(signal.formula, look, last)
            if values:
                self._given[signal.name] = sample.clock
            points += [Point(signal.name, device, value) for device, value in _across(signal.formula.across, values)]
        return Measured(due, points, frozenset(told), frozenset(device for _, device in sample.values if device))

    def given(self, name: str) -> float:
        """Return when a signal had a point last, monotonic seconds; long ago where it never had one."""
        return self._given.get(name, float("-inf"))

    def gave(self, name: str) -> bool:
        """Tell whether a signal ever had a point."""
        return name in self._given

    def heard(self, *sources: Source) -> bool:
        """Tell whether one of these sources ever gave anything."""
        return any(source in self._heard for source in sources)

    def absence(self, name: str, *, since: float = float("-inf")) -> str:
        """Say why a signal has no value; a source that gave nothing since then (monotonic seconds) gives nothing."""
        fresh = {source: look.values for source, look in self._last.items() if look.clock >= since}
        said = {key: why for look in self._last.values() for key, why in look.unavailable.items()}
        return why_absent(name, fresh, said)

    def derive(self, sample: Sample) -> Sequence[Point]:
        """Return the points that a sample completes."""
        look = self.measure(sample, due=sample.at)
        return () if look is None else look.points


def _grouped(values: Mapping[Series, float]) -> Grouped:
    grouped: dict[str, dict[str, float]] = {}
    for (key, device), value in values.items():
        grouped.setdefault(key, {})[device] = value
    return grouped


def _waits(formula: Formula, look: _Look, last: _Look | None) -> bool:
    """Tell whether the target itself has reported nothing new since the last look: that is no missing sample."""
    clock = formula.clock if isinstance(formula, Rate) else None
    return clock is not None and last is not None and look.values.get(clock) == last.values.get(clock)


def _evaluate(formula: Formula, look: _Look, last: _Look | None) -> Mapping[str, float | None]:
    match formula:
        case Value(reading, per, _):
            values = look.values.get(reading, _NOTHING)
            return values if per is None else _divide(values, look.values.get(per, _NOTHING))
        case Rate(readings, per, _, less, clock):
            if last is None or (seconds := _seconds(clock, look, last)) <= 0:
                return _NOTHING
            growth = _summed(_growth(reading, look, last) for reading in readings)
            if less is not None:
                growth = _without(growth, _growth(less, look, last).get("", 0.0))
            rates = {device: grown / seconds for device, grown in growth.items()}
            return rates if per is None else _divide(rates, look.values.get(per, _NOTHING))
        case RateRatio(numerator, denominator, _):
            operations = _growth(denominator, look, last)
            idle = dict.fromkeys(device for device, count in operations.items() if count == 0)
            return {**idle, **_divide(_growth(numerator, look, last), operations)}


def _seconds(clock: str | None, look: _Look, last: _Look) -> float:
    """Return the seconds between two looks, by the target's own word where the formula names a reading of it."""
    if clock is None:
        return look.counted - last.counted
    return _growth(clock, look, last).get("", 0.0)


def _without(growth: Mapping[str, float], part: float) -> dict[str, float]:
    """Take from a growth a part of it that is known for all devices together."""
    total = sum(growth.values())
    share = max(0.0, total - part) / total if total > 0 else 1.0
    return {device: grown * share for device, grown in growth.items()}


def _growth(reading: str, look: _Look, last: _Look | None) -> dict[str, float]:
    """Return by how much a counter grew per device; one that went back restarted and has no growth to tell."""
    if last is None:
        return {}
    before = last.values.get(reading, _NOTHING)
    now = look.values.get(reading, _NOTHING)
    return {
        device: value - before[device] for device, value in now.items() if device in before and value >= before[device]
    }


def _summed(growths: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for growth in growths:
        for device, value in growth.items():
            total[device] = total.get(device, 0.0) + value
    return total


def _divide(values: Mapping[str, float], divisors: Mapping[str, float]) -> dict[str, float]:
    """Divide per device; a divisor without device divides all; nothing is divided by zero or by what is missing."""
    quotients = {}
    for device, value in values.items():
        divisor = divisors.get(device, divisors.get("", 0.0))
        if divisor > 0:
            quotients[device] = value / divisor
    return quotients


def _across(across: Across, values: Mapping[str, float | None]) -> Iterable[tuple[str, float | None]]:
    """Join the devices' values; None is of a device on which nothing happened that could be measured."""
    if across is Across.EACH or not values:
        return values.items()
    known = [value for value in values.values() if value is not None]
    if not known:
        return (("", None),)
    match across:
        case Across.SUM:
            return (("", sum(known)),)
        case Across.MEAN:
            return (("", sum(known) / len(known)),)
        case _:
            return (("", max(known)),)
