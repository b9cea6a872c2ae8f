"""What is exported of a target: each reading, and each signal that says more than one reading does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from virtwatch_api.catalogue.formulas import Rate
from virtwatch_api.catalogue.instruments import metric
from virtwatch_api.catalogue.readings import READINGS, Instrument, Reading
from virtwatch_api.catalogue.signals import SIGNALS, Signal


@dataclass(frozen=True, slots=True)
class Figure:
    """Describe the metric that carries a reading or a signal; `device` is the attribute that names the device."""

    metric: str
    unit: str
    description: str
    counter: bool
    attributes: tuple[tuple[str, str], ...]
    device: str | None

    def labels(self, device: str, more: Iterable[tuple[str, str]] = ()) -> list[tuple[str, str]]:
        """Return the attributes of a device's point, and those of `more`."""
        return [*self.attributes, *([(self.device, device)] if self.device else []), *more]


def _reading(item: Reading) -> Figure:
    counter = item.instrument is Instrument.COUNTER
    return Figure(item.metric, item.unit, item.description, counter, item.attributes, item.device)


def _signal(item: Signal) -> Figure:
    return Figure(
        metric(item), item.unit, item.description, counter=False, attributes=item.attributes, device=item.device
    )


# By signal's name.
SIGNAL_FIGURES: Mapping[str, Figure] = {item.name: _signal(item) for item in SIGNALS if item.formula is not None}
# By reading's key, or the name of a signal that can be a gauge: the two have no name in common.
FIGURES: Mapping[str, Figure] = {
    **{item.key: _reading(item) for item in READINGS},
    **{item.name: SIGNAL_FIGURES[item.name] for item in SIGNALS if item.derived or isinstance(item.formula, Rate)},
}
