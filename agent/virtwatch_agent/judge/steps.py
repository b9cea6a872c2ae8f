"""How one signal follows from samples that all hold the same series: each reading stands at a place that is known.

`Step.points` serves every formula. Nearly all points come of two simple ones, a gauge and the rate of one counter: they
take a shorter way to the same values.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from virtwatch_api.catalogue.signals import Across, Formula, Rate, RateRatio, Signal, Value
from virtwatch_rules.inputs import Point

_NOTHING: Mapping[str, float] = {}
# The devices that give a reading, each with its place in the sample.
Row = Sequence[tuple[str, int]]
# As `Point` makes one, without a call of Python's.
_point: Callable[[tuple[str, str, float | None]], Point] = partial(tuple.__new__, Point)


class Step(ABC):
    """Work out one signal of a layout."""

    __slots__ = ("across", "clock", "formula", "name", "share")

    def __init__(self, signal: Signal, formula: Formula) -> None:
        self.name = signal.name
        self.formula = formula
        self.across = formula.across
        self.share = signal.range.share
        self.clock = formula.clock if isinstance(formula, Rate) else None  # a reading of the target's own seconds

    @property
    @abstractmethod
    def gives(self) -> bool:
        """Return whether samples hold what it needs, or what says that there is nothing new."""

    @abstractmethod
    def values(
        self, now: Sequence[float], before: Sequence[float] | None, seconds: float
    ) -> Mapping[str, float | None]:
        """Return the value of each device that has one; None where nothing happened that could be measured."""

    def points(self, now: Sequence[float], before: Sequence[float] | None, seconds: float) -> list[Point]:
        """Return the points, one for all devices or one for each."""
        values = self.values(now, before, seconds)
        if not values:
            return []
        if self.across is not Across.EACH:
            values = {"": _joined(self.across, values)}
        if self.share:
            # A tick that the kernel counts late makes a busy second look longer.
            values = {device: 1.0 if value is not None and value > 1.0 else value for device, value in values.items()}
        name = self.name
        return [Point(name, device, value) for device, value in values.items()]


class _Gauge(Step):
    __slots__ = ("per", "row")

    def __init__(self, signal: Signal, formula: Value, rows: Mapping[str, Row]) -> None:
        super().__init__(signal, formula)
        self.row = rows.get(formula.reading, ())
        self.per = None if formula.per is None else rows.get(formula.per, ())

    @property
    def gives(self) -> bool:
        return bool(self.row)

    def values(
        self,
        now: Sequence[float],
        before: Sequence[float] | None,  # noqa: ARG002
        seconds: float,  # noqa: ARG002
    ) -> Mapping[str, float | None]:
        values = {device: now[place] for device, place in self.row}
        return values if self.per is None else _divide(values, {device: now[place] for device, place in self.per})


class _PlainGauge(_Gauge):
    """Take each device's value as it is."""

    __slots__ = ()

    def points(self, now: Sequence[float], before: Sequence[float] | None, seconds: float) -> list[Point]:  # noqa: ARG002
        """Return a point for each device."""
        name, share = self.name, self.share
        return [_point((name, device, 1.0 if share and now[place] > 1.0 else now[place])) for device, place in self.row]


class _Growing(Step):
    __slots__ = ("less", "of_clock", "per", "rows")

    def __init__(self, signal: Signal, formula: Rate, rows: Mapping[str, Row]) -> None:
        super().__init__(signal, formula)
        self.rows = [rows.get(reading, ()) for reading in formula.readings]
        self.less = None if formula.less is None else rows.get(formula.less, ())
        self.per = None if formula.per is None else rows.get(formula.per, ())
        self.of_clock = rows.get(formula.clock, ()) if formula.clock is not None else ()

    @property
    def gives(self) -> bool:
        return self.clock is not None or any(self.rows)

    def values(
        self, now: Sequence[float], before: Sequence[float] | None, seconds: float
    ) -> Mapping[str, float | None]:
        if before is not None and self.clock is not None:
            seconds = _growth(self.of_clock, now, before).get("", 0.0)
        if before is None or seconds <= 0:
            return _NOTHING
        growth = _growth(self.rows[0], now, before)
        for row in self.rows[1:]:
            for device, grown in _growth(row, now, before).items():
                growth[device] = growth.get(device, 0.0) + grown
        if self.less is not None:
            growth = _without(growth, _growth(self.less, now, before).get("", 0.0))
        rates = {device: grown / seconds for device, grown in growth.items()}
        return rates if self.per is None else _divide(rates, {device: now[place] for device, place in self.per})


class _PlainRate(_Growing):
    """Divide what one counter grew by the seconds that passed; `part` is where stands what is no part of it."""

    __slots__ = ("part",)

    def __init__(self, signal: Signal, formula: Rate, rows: Mapping[str, Row]) -> None:
        super().__init__(signal, formula, rows)
        self.part = next((place for device, place in self.less or () if not device), None)

    def points(self, now: Sequence[float], before: Sequence[float] | None, seconds: float) -> list[Point]:
        """Return the points, one for all devices or one for each."""
        if before is None or seconds <= 0:
            return []
        if self.part is not None and now[self.part] > before[self.part]:
            return super().points(now, before, seconds)
        name, share = self.name, self.share
        if self.across is Across.EACH:
            return [
                _point((name, device, 1.0 if share and rate > 1.0 else rate))
                for device, place in self.rows[0]
                if (rate := (now[place] - before[place]) / seconds) >= 0
            ]
        rates = [rate for _, place in self.rows[0] if (rate := (now[place] - before[place]) / seconds) >= 0]
        if not rates:
            return []
        if self.across is Across.WORST:
            value = max(rates)
        else:
            value = sum(rates) if self.across is Across.SUM else sum(rates) / len(rates)
        return [_point((name, "", 1.0 if share and value > 1.0 else value))]


class _PerOperation(Step):
    __slots__ = ("denominator", "numerator")

    def __init__(self, signal: Signal, formula: RateRatio, rows: Mapping[str, Row]) -> None:
        super().__init__(signal, formula)
        self.numerator, self.denominator = rows.get(formula.numerator, ()), rows.get(formula.denominator, ())

    @property
    def gives(self) -> bool:
        return bool(self.denominator)

    def values(
        self,
        now: Sequence[float],
        before: Sequence[float] | None,
        seconds: float,  # noqa: ARG002
    ) -> Mapping[str, float | None]:
        if before is None:
            return _NOTHING
        operations = _growth(self.denominator, now, before)
        idle = dict.fromkeys(device for device, count in operations.items() if count == 0)
        return {**idle, **_divide(_growth(self.numerator, now, before), operations)}


def step_of(signal: Signal, rows: Mapping[str, Row]) -> Step:
    """Return the step that works out a signal whose readings stand in these rows."""
    match signal.formula:
        case Value(_, None, Across.EACH) as formula:
            return _PlainGauge(signal, formula, rows)
        case Value() as formula:
            return _Gauge(signal, formula, rows)
        case Rate((_,), None, _, _, None) as formula:
            return _PlainRate(signal, formula, rows)
        case Rate() as formula:
            return _Growing(signal, formula, rows)
        case RateRatio() as formula:
            return _PerOperation(signal, formula, rows)
        case None:
            raise ValueError(signal.name)  # `_by_source` leaves it out


def _growth(row: Row, now: Sequence[float], before: Sequence[float]) -> dict[str, float]:
    """Return by how much a counter grew per device; one that went back restarted and has no growth to tell."""
    return {device: grown for device, place in row if (grown := now[place] - before[place]) >= 0}


def _without(growth: Mapping[str, float], part: float) -> dict[str, float]:
    """Take from a growth a part of it that is known for all devices together."""
    total = sum(growth.values())
    share = max(0.0, total - part) / total if total > 0 else 1.0
    return {device: grown * share for device, grown in growth.items()}


def _divide(values: Mapping[str, float], divisors: Mapping[str, float]) -> dict[str, float]:
    """Divide per device; a divisor without device divides all; nothing is divided by zero or by what is missing."""
    quotients = {}
    for device, value in values.items():
        divisor = divisors.get(device, divisors.get("", 0.0))
        if divisor > 0:
            quotients[device] = value / divisor
    return quotients


def _joined(across: Across, values: Mapping[str, float | None]) -> float | None:
    """Join the devices' values; None is of a device on which nothing happened that could be measured."""
    known = [value for value in values.values() if value is not None]
    if not known:
        return None
    match across:
        case Across.SUM:
            return sum(known)
        case Across.MEAN:
            return sum(known) / len(known)
        case _:
            return max(known)
