"""What a rule judges: a signal, and the formula by which it follows from readings."""

from dataclasses import dataclass, field
from enum import StrEnum

from virtwatch_api.catalogue.entries import NOT_NEGATIVE, Instrument, Range, Source, TargetKind
from virtwatch_api.catalogue.readings import READING
from virtwatch_api.figures import format_value


class Across(StrEnum):
    """Say how devices become one value: each its own, their sum, their mean, or the worst of them."""

    EACH = "each"
    SUM = "sum"
    MEAN = "mean"
    WORST = "worst"


@dataclass(frozen=True, slots=True)
class Rate:
    """Divide the growth of counters (summed) by the seconds it took; `per` divides by a gauge as well.

    `less` is a counter of the whole target whose growth is no part of it, where there is one: all devices give it up in
    proportion. `clock` is a reading of seconds that the target tells itself: the growth is divided by what that grew,
    and there is no value while it stands still.
    """

    readings: tuple[str, ...]
    per: str | None = None
    across: Across = Across.EACH
    less: str | None = None
    clock: str | None = None


@dataclass(frozen=True, slots=True)
class RateRatio:
    """Divide the growth of one counter by the growth of another: time per operation, never rate of time."""

    numerator: str
    denominator: str
    across: Across = Across.EACH


@dataclass(frozen=True, slots=True)
class Value:
    """Take a gauge as it is; `per` divides it by another gauge."""

    reading: str
    per: str | None = None
    across: Across = Across.EACH


_GUEST_REPORT_S = 10.0  # the period that KubeVirt sets

Formula = Rate | RateRatio | Value


@dataclass(frozen=True, slots=True)
class Signal:
    """Describe one signal: its name, fixed unit, what it belongs to, and its formula; without one it is planned.

    `bad_value` says what a bad value means, `remedy` what to do about it; each is a sentence for people. `limits` says
    what it does not show, and what shows that. `instrument` is how it is exported, where it is.
    """

    name: str
    unit: str
    description: str
    formula: Formula | None
    target: TargetKind = TargetKind.VIRTUAL_MACHINE
    range: Range = NOT_NEGATIVE
    bad_value: str = ""
    remedy: str = ""
    limits: str = ""
    instrument: Instrument = Instrument.GAUGE

    # What follows from the formula: asked with each edit, for each rule of each target.
    readings: frozenset[str] = field(init=False, repr=False, compare=False)  # that the formula needs
    sources: frozenset[Source] = field(init=False, repr=False, compare=False)  # that must be asked for it
    # Whether each device has its own value, and so its own alert.
    per_device: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        readings = _readings(self.formula)
        each = self.formula is not None and self.formula.across is Across.EACH
        for name, value in (
            ("readings", readings),
            ("sources", frozenset(READING[key].source for key in readings)),
            ("per_device", each and any(READING[key].device for key in readings)),
        ):
            object.__setattr__(self, name, value)

    @property
    def derived(self) -> bool:
        """Return whether the signal says more than one exported reading, or its rate, which every backend computes."""
        match self.formula:
            case Rate((_,), None, Across.EACH, None, None) | Value(_, None, Across.EACH) | None:
                return False
            case _:
                return True

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """Return the OTel attributes that all its readings have: the direction of a disk's operations, say."""
        each = [READING[key].attributes for key in sorted(self.readings)]
        return tuple(pair for pair in each[0] if all(pair in other for other in each)) if each else ()

    @property
    def device(self) -> str | None:
        """Return the OTel attribute that names the device; None: one value per target."""
        named = (READING[key].device for key in sorted(self.readings))
        return next(filter(None, named), None) if self.per_device else None

    @property
    def metric(self) -> str:
        """Return the OTel name under which the signal is exported; empty where its reading says as much."""
        return self.own_metric if self.derived else ""

    @property
    def own_metric(self) -> str:
        """Return the signal's own name in the namespace of its readings, without what an attribute says."""
        if self.formula is None:
            return ""
        said = {value for _, value in self.attributes}
        namespace = READING[self._first_reading].namespace
        return ".".join((namespace, *(word for word in self.name.split(".")[1:] if word not in said)))

    @property
    def _first_reading(self) -> str:
        match self.formula:
            case Rate(readings):
                return readings[0]
            case RateRatio(numerator):
                return numerator
            case Value(reading):
                return reading
            case None:
                return ""

    @property
    def least_interval(self) -> float:
        """Return the seconds below which looking more often tells nothing new: a guest reports every 10 s or so."""
        return _GUEST_REPORT_S if isinstance(self.formula, Rate) and self.formula.clock else 0.0

    @property
    def from_guest(self) -> bool:
        """Return whether the guest itself reports it, once its driver is loaded."""
        return any(READING[key].of_guest for key in self.readings)

    def format(self, value: float, *, beside: float | None = None) -> str:
        """Write a value of the signal as people read it; `beside` is a value from which it must be distinguished."""
        return format_value(value, self.unit, share=self.range.share, beside=beside)


def _readings(formula: Formula | None) -> frozenset[str]:
    match formula:
        case Rate(readings, per, _, less, clock):
            return frozenset(readings).union(key for key in (per, less, clock) if key)
        case RateRatio(numerator, denominator, _):
            return frozenset((numerator, denominator))
        case Value(reading, per, _):
            return frozenset((reading,)) | ({per} if per else frozenset())
        case None:
            return frozenset()
