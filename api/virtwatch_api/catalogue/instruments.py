"""Which instrument carries a signal to the backend: what the catalogue says, unless policies choose another.

Readings are exported as they are, whatever is chosen: a choice adds what is derived of them, or changes how.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from virtwatch_api.catalogue.entries import Instrument
from virtwatch_api.catalogue.formulas import Rate, Signal
from virtwatch_api.catalogue.signals import SIGNAL, SIGNALS

_TELLS_MORE = {Instrument.COUNTER: 0, Instrument.GAUGE: 1, Instrument.SUMMARY: 2}


@dataclass(frozen=True, slots=True)
class Exported:
    """Name the signals that are exported beside the readings: as gauges, and as summaries of every value."""

    gauges: frozenset[str]
    summaries: frozenset[str]

    def without_summaries(self) -> "Exported":
        """Return the same for a backend that takes no histograms: summaries are gauges then."""
        return Exported(self.gauges | self.summaries, frozenset())


def choices(signal: Signal) -> tuple[Instrument, ...]:
    """Return the instruments that can carry a signal, its own first; none where nothing is collected of it."""
    if signal.formula is None:
        return ()
    if signal.derived:
        both = (Instrument.GAUGE, Instrument.SUMMARY)
        return both if signal.instrument is Instrument.GAUGE else both[::-1]
    if isinstance(signal.formula, Rate):  # the backend computes it of the counter
        return Instrument.COUNTER, Instrument.GAUGE, Instrument.SUMMARY
    return Instrument.GAUGE, Instrument.SUMMARY


def metric(signal: Signal) -> str:
    """Return the OTel name of a signal where it is exported beside its readings."""
    if signal.derived or isinstance(signal.formula, Rate):
        return signal.own_metric
    return f"{signal.own_metric}.distribution"  # the name alone is the reading's, a gauge


@cache
def exported(chosen: frozenset[tuple[str, Instrument]] = frozenset()) -> Exported:
    """Return what is exported: of several choices for a signal, or for what shares its name, the one showing most."""
    gauges, summaries = set(), set()
    by_metric: dict[str, Instrument] = {}
    for name, instrument in chosen:
        key = metric(SIGNAL[name])
        by_metric[key] = strongest((instrument, by_metric.get(key, instrument)))
    for signal in SIGNALS:
        if not (possible := choices(signal)):
            continue
        instrument = by_metric.get(metric(signal), possible[0])
        if instrument is Instrument.SUMMARY:
            summaries.add(signal.name)
        elif instrument is Instrument.GAUGE and (signal.derived or isinstance(signal.formula, Rate)):
            gauges.add(signal.name)
    return Exported(frozenset(gauges), frozenset(summaries))


def strongest(instruments: Iterable[Instrument]) -> Instrument:
    """Return the one that shows most: a summary, then a gauge."""
    return max(instruments, key=lambda item: _TELLS_MORE[item])
