"""How each source is asked for a target: the mode and the interval that serve every rule, and the rule that decides."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from virtwatch_api.catalogue.entries import Source
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.duration import format_duration
from virtwatch_api.policy import Mode, PolicyKey
from virtwatch_api.resolution import EffectiveRule
from virtwatch_rules.inputs import Input

# The mode that serves those before it too.
_SERVES = (Mode.SAMPLED, Mode.HYBRID, Mode.CONTINUOUS)

Asked = Iterable[tuple[EffectiveRule, Input]]


@dataclass(frozen=True, slots=True)
class InForce:
    """Hold how a source is asked; `interval` in seconds. `because` names the rule that asks for it, in a sentence."""

    mode: Mode
    interval: float
    because: str


def in_force(asked: Asked) -> Mapping[Source, InForce]:
    """Return how each source is asked, so that every rule is served."""
    found: dict[Source, list[tuple[float, int, str]]] = {}
    for effective, item in asked:
        policy = effective.thresholds.policy
        rule = f"rule {effective.rule.name} of {policy.kind} {policy}"
        serves = _SERVES.index(effective.thresholds.collection.mode)
        for source in SIGNAL[item.signal].sources:
            found.setdefault(source, []).append((item.interval, -serves, rule))
    return {source: _joined(source, wants) for source, wants in found.items()}


def _joined(source: Source, wants: list[tuple[float, int, str]]) -> InForce:
    interval, _, rule = min(wants)
    _, serves, strongest = min(wants, key=lambda want: want[1])
    mode = _SERVES[-serves]
    because = f"{rule} asks for {source} each {format_duration(interval)}"
    if strongest != rule:
        because += f", {strongest} in mode {mode}"
    return InForce(mode, interval, because)


def differing(asked: Asked) -> Mapping[PolicyKey, InForce]:
    """Return, by policy, how what it asks for is asked where that is not what it wants, because others want more."""
    wants = list(asked)
    decided = in_force(wants)
    found: dict[PolicyKey, InForce] = {}
    for effective, item in wants:
        policy, mode = effective.thresholds.policy, effective.thresholds.collection.mode
        for source in SIGNAL[item.signal].sources:
            how = decided[source]
            least = found.get(policy)
            if (how.mode, how.interval) != (mode, item.interval) and (least is None or how.interval < least.interval):
                found[policy] = how
    return found
