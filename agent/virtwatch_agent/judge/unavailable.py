"""Which rules cannot be judged for a target, because it does not give what they ask for: neither "well" nor "bad"."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from virtwatch_agent.judge.derive import Deriver
from virtwatch_api.catalogue.absence import PROBED_EVENT, UNASKED
from virtwatch_api.catalogue.entries import Source
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.nodemonitor import Unavailable
from virtwatch_api.policy import PolicyKey
from virtwatch_api.targets import Subject
from virtwatch_rules.evaluator import Evaluator

_PATIENCE_S = 15.0
_INTERVALS = 3.0
_BOOT_S = 60.0  # a guest has to start before its driver reports
_MONITORS = tuple(source for source in Source if source.asks_monitor)


@dataclass(frozen=True, slots=True)
class Missing:
    """Say what one rule asks for and does not get, and why."""

    policy: PolicyKey
    rule: str
    signal: str  # or the event, where nobody can tell whether it happens
    why: str


class Availability:
    """Follow what one target gives; times are monotonic seconds."""

    def __init__(self) -> None:
        self.missing: tuple[Missing, ...] = ()
        self._since: dict[str, float] = {}  # when each signal was first seen to be wanted

    def look(self, evaluator: Evaluator, deriver: Deriver, *, clock: float) -> None:
        """Find what is missing now."""
        self.missing = tuple(self._find(evaluator, deriver, clock))

    def clear(self) -> None:
        """Forget all: the target does not run, which is why it gives nothing."""
        self.missing, self._since = (), {}

    def _find(self, evaluator: Evaluator, deriver: Deriver, clock: float) -> list[Missing]:
        wanted = evaluator.intervals
        self._since = {name: self._since.get(name, clock) for name in (*wanted, PROBED_EVENT)}
        why = {
            name: reason
            for name, interval in wanted.items()
            if (reason := self._why(name, deriver, max(_PATIENCE_S, _INTERVALS * interval), clock))
        }
        found = {
            Missing(effective.thresholds.policy, effective.rule.name, asked.signal, why[asked.signal])
            for effective, asked in (evaluator.asked() if why else ())
            if asked.signal in why
        }
        return sorted(
            (*found, *self._untold(evaluator, deriver, clock)),
            key=lambda item: (str(item.policy), item.rule, item.signal),
        )

    def _why(self, name: str, deriver: Deriver, patience: float, clock: float) -> str:
        """Say why a signal has had no value for a while; empty where it has one, or may have one soon."""
        silence = clock - max(self._since[name], deriver.given(name))
        if silence < patience:
            return ""
        booting = SIGNAL[name].from_guest and deriver.heard(Source.BALLOON) and silence < _BOOT_S
        return "" if booting else deriver.absence(name, since=clock - patience)

    def _untold(self, evaluator: Evaluator, deriver: Deriver, clock: float) -> Iterator[Missing]:
        """Find the rules on an event that only a question can tell, where no question was ever answered."""
        if clock - self._since[PROBED_EVENT] < _PATIENCE_S or deriver.heard(*_MONITORS):
            return
        told = {(name.policy, name.rule) for name, _, _ in evaluator.alerts()}
        for effective in evaluator.hearing(PROBED_EVENT):
            policy, rule = effective.thresholds.policy, effective.rule.name
            if (policy, rule) not in told:
                yield Missing(policy, rule, PROBED_EVENT, UNASKED)


def summed(targets: Iterable[tuple[Subject, Sequence[Missing]]]) -> list[tuple[PolicyKey, Unavailable]]:
    """Sum up what targets do not give of what their rules ask for: the most targets first."""
    lacking: dict[Missing, list[str]] = {}
    for subject, missing in targets:
        for item in missing:
            lacking.setdefault(item, []).append(str(subject))
    found = [
        (item.policy, Unavailable(item.rule, item.signal, len(names), item.why, min(names)))
        for item, names in lacking.items()
    ]
    return sorted(found, key=lambda pair: (-pair[1].targets, str(pair[0]), pair[1].rule, pair[1].signal))
