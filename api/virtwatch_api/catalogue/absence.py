"""Why a signal has no value: a closed list of sentences, so that whoever passes one on can tell that it is one."""

from collections.abc import Collection, Mapping

from virtwatch_api.catalogue.entries import Source
from virtwatch_api.catalogue.readings import READING
from virtwatch_api.catalogue.signals import SIGNAL

PROBED_EVENT = "vm.telemetry_stuck"  # nobody hears of it who does not ask
UNASKED = Source.BALLOON.absence  # why nobody can tell whether that happens
NO_VALUE = "all that it is computed of is there, and gives no value"


def why_absent(signal: str, looks: Mapping[Source, Collection[str]], said: Mapping[str, str]) -> str:
    """Say why a signal has no value; `looks` are the readings that the last look at each source held.

    `said` is what the sources themselves say of readings that they cannot give.
    """
    entry = SIGNAL[signal]
    known = reasons(signal)
    for key in sorted(entry.readings):
        if said.get(key) in known:
            return said[key]
    for source in sorted(entry.sources):
        if source not in looks:
            return source.absence
        for key in sorted(entry.readings):
            if READING[key].source is source and key not in looks[source]:
                return _lacking(key)
    return NO_VALUE


def reasons(name: str) -> frozenset[str]:
    """Return all that can be said of why a signal has no value, or an event cannot be seen; none of what is neither."""
    if name == PROBED_EVENT:
        return frozenset((UNASKED,))
    if name not in SIGNAL:
        return frozenset()
    signal = SIGNAL[name]
    absent = {source.absence for source in signal.sources} | {_lacking(key) for key in signal.readings}
    also = {reason for key in signal.readings for reason in READING[key].also_absent}
    return frozenset((NO_VALUE, *absent, *also))


def _lacking(key: str) -> str:
    return READING[key].absent or READING[key].source.absence
