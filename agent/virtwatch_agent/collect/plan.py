"""What the rules add up to: how often each source is asked for a target."""

from collections.abc import Iterable, Mapping

from virtwatch_agent.judge.rules import interval
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.policy import ThresholdRule
from virtwatch_api.resolution import EffectiveRule


def demand(rules: Iterable[EffectiveRule], *, export_interval: float) -> Mapping[Source, float]:
    """Say how often (seconds) each source must be asked for a VM, so that every rule is served and nothing more.

    The kernel's files are always read for export; what asks the QEMU monitor is asked only when a rule needs it.
    """
    wanted = {Source.KERNEL: export_interval}
    for effective in rules:
        body = effective.rule.body
        if isinstance(body, ThresholdRule):
            for source in SIGNAL[body.signal].sources:
                every = interval(effective.thresholds.collection)
                wanted[source] = min(every, wanted.get(source, every))
    return wanted
