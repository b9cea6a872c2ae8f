"""What the rules add up to: how often each source is asked for a target."""

from collections.abc import Iterable, Mapping, Set

from virtwatch_api.catalogue.absence import PROBED_EVENT
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.policy import Mode
from virtwatch_api.resolution import EffectiveRule
from virtwatch_rules.inputs import Input

# What is read for telemetry, where there is any, though no rule asks for it: what costs next to nothing.
EXPORTED: Mapping[TargetKind, tuple[Source, ...]] = {
    TargetKind.VIRTUAL_MACHINE: (Source.KERNEL,),
    TargetKind.NODE: (
        Source.NODE,
        Source.NODE_DISKS,
        Source.NODE_PRESSURE,
        Source.NODE_PAGES,
        Source.NODE_LIBVIRT,
    ),
    TargetKind.STORAGE_POOL: (Source.STORAGE,),
    TargetKind.NETWORK: (Source.NETWORK,),
}
_STARTS = frozenset(("vm.backup_started", "vm.block_job_started"))  # that libvirt does not report
_STARTS_S = 15.0  # seconds between looks for them
_PROBE_S = 15.0  # seconds between questions to a monitor of which a rule wants to know only whether it answers


def demand(
    intervals: Mapping[str, float], events: Set[str], *, exported: Mapping[Source, float]
) -> Mapping[Source, float]:
    """Say how often (seconds) each source must be asked, so that every rule is served and nothing more.

    `intervals` says how often each signal is wanted, `events` which events, `exported` what is read in any case. What
    asks the QEMU monitor is asked only when a rule needs it.
    """
    wanted = dict(exported)
    for signal, every in intervals.items():
        for source in SIGNAL[signal].sources:
            wanted[source] = min(every, wanted.get(source, every))
    if PROBED_EVENT in events and not any(source.asks_monitor for source in wanted):
        wanted[Source.BALLOON] = _PROBE_S
    if events & _STARTS:
        wanted[Source.BLOCK_JOBS] = _STARTS_S  # gives no figures: it serves no rule that only probes
    return wanted


def scattered(asked: Iterable[tuple[EffectiveRule, Input]], wanted: Mapping[Source, float]) -> Mapping[Source, float]:
    """Say which sources are asked at a random instant, and of how many seconds: those that only Sampled rules need."""
    regular: set[Source] = set()
    within: dict[Source, float] = {}
    for effective, item in asked:
        collection = effective.thresholds.collection
        for source in SIGNAL[item.signal].sources:
            if collection.mode is not Mode.SAMPLED:
                regular.add(source)
            else:
                within[source] = min(collection.interval, wanted[source], within.get(source, collection.interval))
    return {source: seconds for source, seconds in within.items() if source not in regular}
