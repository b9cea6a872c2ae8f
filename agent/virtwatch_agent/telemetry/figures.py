"""What is exported of a target: each reading, and each signal that says more than one reading does."""

from collections.abc import Mapping
from dataclasses import dataclass

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


DERIVED = frozenset(signal.name for signal in SIGNALS if signal.derived)
SUMMARIES = frozenset(signal.name for signal in SIGNALS if signal.derived and signal.instrument is Instrument.SUMMARY)


def _reading(item: Reading) -> Figure:
    counter = item.instrument is Instrument.COUNTER
    return Figure(item.metric, item.unit, item.description, counter, item.attributes, item.device)


def _signal(item: Signal) -> Figure:
    return Figure(
        item.metric, item.unit, item.description, counter=False, attributes=item.attributes, device=item.device
    )


# By reading's key or signal's name: the two have no name in common.
FIGURES: Mapping[str, Figure] = {
    **{item.key: _reading(item) for item in READINGS},
    **{item.name: _signal(item) for item in SIGNALS if item.derived},
}
