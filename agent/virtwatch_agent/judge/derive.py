"""Turns readings into signals by the catalogue's formulas.

One Deriver per domain remembers each source's last sample.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from virtwatch_agent.observations import Sample, Series
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.catalogue.signals import SIGNAL, Across, Formula, Rate, RateRatio, Signal, Value


@dataclass(frozen=True, slots=True)
class Point:
    """Hold one value of a signal; `device` is "" where the signal has one value per VM."""

    signal: str
    device: str
    value: float


# Readings of one sample by key, then device.
Grouped = Mapping[str, Mapping[str, float]]

_NOTHING: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class _Look:
    """Hold one sample, grouped once for all formulas."""

    incarnation: str
    clock: float
    values: Grouped


class Deriver:
    """Derive the wanted signals of one domain; rates need two samples of one incarnation."""

    def __init__(self) -> None:
        self._wanted: dict[Source, tuple[Signal, ...]] = {}
        self._last: dict[Source, _Look] = {}

    def want(self, names: Iterable[str]) -> None:
        """Choose the signals to derive; what is remembered of samples stays."""
        signals = [SIGNAL[name] for name in sorted(set(names))]
        self._wanted = {
            source: tuple(signal for signal in signals if source in signal.sources)
            for source in {source for signal in signals for source in signal.sources}
        }

    def derive(self, sample: Sample) -> Iterator[Point]:
        """Yield the points that a sample completes; one that came late or twice yields nothing."""
        wanted = self._wanted.get(sample.source)
        if not wanted:
            return
        last = self._last.get(sample.source)
        if last is not None and last.incarnation != sample.incarnation:
            last = None
        if last is not None and sample.clock <= last.clock:
            return
        look = self._last[sample.source] = _Look(sample.incarnation, sample.clock, _grouped(sample.values))
        for signal in wanted:
            if signal.formula is not None:
                values = _evaluate(signal.formula, look, last)
                for device, value in _across(signal.formula.across, values):
                    yield Point(signal.name, device, value)


def _grouped(values: Mapping[Series, float]) -> Grouped:
    grouped: dict[str, dict[str, float]] = {}
    for (key, device), value in values.items():
        grouped.setdefault(key, {})[device] = value
    return grouped


def _evaluate(formula: Formula, look: _Look, last: _Look | None) -> Mapping[str, float]:
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
            return _divide(_growth(numerator, look, last), _growth(denominator, look, last))


def _seconds(clock: str | None, look: _Look, last: _Look) -> float:
    """Return the seconds between two looks, by the target's own word where the formula names a reading of it."""
    if clock is None:
        return look.clock - last.clock
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


def _across(across: Across, values: Mapping[str, float]) -> Iterable[tuple[str, float]]:
    if not values:
        return ()
    match across:
        case Across.EACH:
            return values.items()
        case Across.SUM:
            return (("", sum(values.values())),)
        case Across.MEAN:
            return (("", sum(values.values()) / len(values)),)
        case Across.WORST:
            return (("", max(values.values())),)
