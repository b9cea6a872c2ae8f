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
        self._asks = -1  # what `evaluator.asks` was then
        self._look_at = 0.0  # before which nothing can come to be missing, as long as nothing else is asked

    def look(self, evaluator: Evaluator, deriver: Deriver, *, clock: float) -> None:
        """Find what is missing now."""
        if clock < self._look_at and self._asks == evaluator.asks:
            return
        self._asks, self._look_at = evaluator.asks, float("-inf")
        self.missing = tuple(self._find(evaluator, deriver, clock))

    def clear(self) -> None:
        """Forget all: the target does not run, which is why it gives nothing."""
        self.missing, self._since, self._look_at = (), {}, float("-inf")

    def _find(self, evaluator: Evaluator, deriver: Deriver, clock: float) -> list[Missing]:
        wanted = evaluator.intervals
        if len(self._since) != len(wanted) + 1 or not wanted.keys() <= self._since.keys():
            self._since = {name: self._since.get(name, clock) for name in (*wanted, PROBED_EVENT)}
        why = {
            name: reason
            for name, interval in wanted.items()
            if clock >= self._patient_until(name, deriver, interval)
            and (reason := self._why(name, deriver, max(_PATIENCE_S, _INTERVALS * interval), clock))
        }
        unseen = list(self._without_alert(evaluator, deriver, clock))
        if not (why or unseen):
            if next(evaluator.rules_on(PROBED_EVENT), None) is None:
                patient = (self._patient_until(name, deriver, interval) for name, interval in wanted.items())
                self._look_at = min(patient, default=clock)
            return []
        found = {
            Missing(effective.thresholds.policy, effective.rule.name, asked.signal, why[asked.signal])
            for effective, asked in (evaluator.asked() if why else ())
            if asked.signal in why
        }
        return sorted(
            (*found, *unseen),
            key=lambda item: (str(item.policy), item.rule, item.signal),
        )

    def _patient_until(self, name: str, deriver: Deriver, interval: float) -> float:
        """Return until when a signal may be without a value."""
        return max(self._since[name], deriver.given(name)) + max(_PATIENCE_S, _INTERVALS * interval)

    def _why(self, name: str, deriver: Deriver, patience: float, clock: float) -> str:
        """Say why a signal has had no value for a while; empty where it has one, or may have one soon."""
        silence = clock - max(self._since[name], deriver.given(name))
        booting = SIGNAL[name].from_guest and deriver.received(Source.BALLOON) and silence < _BOOT_S
        return "" if booting else deriver.absence(name, since=clock - patience)

    def _without_alert(self, evaluator: Evaluator, deriver: Deriver, clock: float) -> Iterator[Missing]:
        """Find the rules on an event that only a question can tell, where no question was ever answered."""
        asking = list(evaluator.rules_on(PROBED_EVENT))
        if not asking or clock - self._since[PROBED_EVENT] < _PATIENCE_S or deriver.received(*_MONITORS):
            return
        alerting = {(name.policy, name.rule) for name, _, _ in evaluator.alerts()}
        for effective in asking:
            policy, rule = effective.thresholds.policy, effective.rule.name
            if (policy, rule) not in alerting:
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
