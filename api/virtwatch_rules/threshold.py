"""Rules of kind `threshold`: one signal against one or two levels, with hysteresis, per device."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from virtwatch_api.alert import INACTIVE, AlertState, Change, Reason, interrupt
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import Aggregate, Bound, Function, Level, MissingData, Severity, ThresholdRule, Timing
from virtwatch_rules.alerts import Alert, Said, Saved
from virtwatch_rules.engine import NEVER, Judge, OneByOne, Reading, Watch
from virtwatch_rules.inputs import Input, Wants
from virtwatch_rules.wording import (
    describe_bound,
    describe_gone,
    describe_idle,
    describe_recovery,
    describe_silence,
    describe_value,
    evidence_function,
    next_step,
)

SHORTEST_S = 1.0
# A band ends so much (of its bound) before the bound: an average is known within one rounding until it is asked for.
_MARGIN = 1e-9


def grid(signal: str, aggregate: Aggregate, timing: Timing, interval: float) -> float:
    """Return how often (seconds) a signal must be sampled: as its policy says, or as window and `for` need it."""
    needs = [interval]
    if aggregate.function is Function.RATE:
        needs.append(aggregate.window / 2)
    elif aggregate.function is not Function.LAST:
        needs.append(aggregate.window)
    if timing.for_:
        needs.append(timing.for_)
    return max(min(needs), min(SHORTEST_S, interval), SIGNAL[signal].least_interval)


@lru_cache(1024)
def false_band(level: Level) -> tuple[float, float]:
    """Return a band of values that surely do not breach a level."""
    margin = abs(level.value) * _MARGIN
    return (-NEVER, level.value - margin) if level.bound is Bound.ABOVE else (level.value + margin, NEVER)


@lru_cache(1024)
def true_band(level: Level, edge: float) -> tuple[float, float]:
    """Return a band of values that are surely past `edge`, on the bad side of a level."""
    margin = abs(edge) * _MARGIN or 1e-300
    return (edge + margin, NEVER) if level.bound is Bound.ABOVE else (-NEVER, edge - margin)


class ThresholdJudge(Judge):
    """Judge one signal of one target, each device for itself."""

    __slots__ = ("_first", "rule")

    def __init__(self, rule: ThresholdRule, wants: Wants) -> None:
        super().__init__(wants)
        self.rule = rule
        self._first: Watch | None = None  # of one for each device

    @property
    def minds_silence(self) -> bool:
        """Return whether it alerts on missing data."""
        return self.rule.timing.missing_data is MissingData.ALERT

    def renew(self, body: Any, wants: Wants) -> bool:
        """Go on while the signal is the same."""
        if not isinstance(body, ThresholdRule) or body.signal != self.rule.signal:
            return False
        self.rule, self.wants = body, wants
        for watch in self._watches():
            watch.wake()
        return True

    def attach(self, watch: Watch) -> None:
        """Judge a device from now on."""
        self._keep([*(other for other in self._watches() if other.device != watch.device), watch])
        if (alert := self.alerts.get(watch.device)) is not None:
            alert.anew = True

    def detach(self, watch: Watch) -> None:
        """Judge it no more, or by another window."""
        self._keep([other for other in self._watches() if other is not watch])
        if (alert := self.alerts.get(watch.device)) is not None:
            alert.anew = False

    def recall(self, saved: Saved, *, at: float) -> None:
        """Take back an alert; no half window may say that it got better."""
        super().recall(saved, at=at)
        self.alerts[saved.device].anew = True
        if (watch := self._watch(saved.device)) is not None:
            watch.wake()

    def points(self, watches: Sequence[Watch], *, at: float) -> Iterator[Said]:
        """Judge these devices."""
        for watch in watches:
            alert = self.alerts.get(watch.reading.device)
            change, alert = self._judge(watch, alert, at)
            if alert is not None and change is not None:
                yield self.say(alert, change)
            self._rest(watch, alert)

    def evidence(self, alert: Alert, change: Change | None = None) -> Evidence:
        """Give value, bound and a sentence."""
        rule, device = self.rule, alert.device
        watch = self._watch(device)
        if watch is None:
            return alert.evidence
        reading = watch.reading
        value = reading.value
        if value is None:
            if reading.idle:
                return Evidence(rule.signal, text=describe_idle(rule.signal, rule.aggregate, device))
            if alert.evidence.text and not reading.missing:
                return alert.evidence  # after a restart no sample came yet
            return Evidence(rule.signal, text=describe_silence(rule.signal, device, reading.silence))
        severity = (change.severity or change.previous) if change else alert.state.severity or alert.state.holding
        level = self._level(severity)
        text = describe_value(rule.signal, rule.aggregate, device, value, level)
        return Evidence(rule.signal, value, level.value, text, function=evidence_function(rule.aggregate))

    def next_step(self, alert: Alert, *, at: float) -> str:
        """Say when it fires, worsens or resolves."""
        rule, state = self.rule, alert.state
        level = self._level(state.holding or state.severity)
        return next_step(
            state,
            rule.timing,
            holds=describe_bound(rule.signal, rule.aggregate, level),
            recovers=describe_recovery(rule.signal, rule.aggregate, self._level(state.severity)),
            at=at,
        )

    def devices(self) -> Iterable[str]:
        """Return the devices of which values came, or that have an alert."""
        return sorted({*(watch.device for watch in self._watches()), *self.alerts}) or ("",)

    def gone(self, device: str, *, at: float) -> Iterator[Said]:
        """End the alert of a device that is gone."""
        self._keep([watch for watch in self._watches() if watch.device != device])
        alert = self.alerts.get(device)
        if alert is not None:
            alert.evidence = Evidence(self.rule.signal, text=describe_gone(self.rule.signal, device))
        yield from super().gone(device, at=at)

    def vanish(self, *, at: float) -> Iterator[Said]:
        """End all alerts; the target's windows are gone."""
        yield from super().vanish(at=at)
        self._first = None

    def _watches(self) -> Iterator[Watch]:
        watch = self._first
        while watch is not None:
            yield watch
            watch = watch.next

    def _keep(self, watches: Sequence[Watch]) -> None:
        """String these together, which takes less than a sequence of its own: nearly all have one device."""
        self._first = None
        for watch in reversed(watches):
            watch.next, self._first = self._first, watch

    def _watch(self, device: str) -> Watch | None:
        return next((watch for watch in self._watches() if watch.device == device), None)

    def _judge(self, watch: Watch, alert: Alert | None, at: float) -> tuple[Change | None, Alert | None]:
        reading, state = watch.reading, alert.state if alert is not None else INACTIVE
        judged = self._judgement(reading, state)
        if judged is None:
            if alert is not None:
                alert.state = interrupt(state)
            return None, alert
        holds, reason = judged
        if alert is not None and alert.anew:
            if reading.whole:
                alert.anew = False
            elif _rank(holds) < _rank(state.severity) and reason is not Reason.NO_DATA:
                return None, alert  # half a window cannot say that it got better
        if alert is None:
            if holds is None:
                return None, None
            alert = self.open_alert(watch.device)
        change = alert.judge(holds, timing=self.rule.timing, at=at, reason=reason)
        if change is not None and change.severity is None and reason is Reason.NO_DATA:
            change = replace(change, reason=reason)
        return change, alert

    def _judgement(self, reading: Reading, state: AlertState) -> tuple[Severity | None, Reason] | None:
        """Return what holds, and why it would fire; None where a gap leaves that open."""
        value = reading.value
        if value is not None:
            return self._holds(value, state.severity), Reason.BREACH
        if reading.idle:
            return None, Reason.BREACH  # nothing was slow
        missing_data = self.rule.timing.missing_data
        if reading.samples and missing_data is not MissingData.HOLD:
            return None, Reason.NO_DATA  # one sample reports no rate
        if not reading.samples and not reading.missing:
            return state.holding, Reason.BREACH  # as it was: the sample may only be late
        match missing_data:
            case MissingData.HOLD:
                return None
            case MissingData.RESOLVE:
                return None, Reason.NO_DATA
            case MissingData.ALERT:
                mildest = Severity.WARNING if self.rule.warning else Severity.CRITICAL
                return state.severity or mildest, Reason.NO_DATA

    def _rest(self, watch: Watch, alert: Alert | None) -> None:
        """Sleep while nothing can change, until the value leaves the band in which nothing does."""
        if alert is None or alert.state == INACTIVE:
            if alert is not None:
                self.drop_alert(watch.device)
            watch.sleep(*false_band(self.rule.warning or self._level(Severity.CRITICAL)))
            return
        level = self.rule.critical if alert.state.severity is Severity.CRITICAL else self.rule.warning
        if level is None or not alert.state.settled or alert.anew:
            watch.wake()
            return
        low, high = true_band(level, level.recover)
        if alert.state.severity is Severity.WARNING and self.rule.critical is not None:
            quiet_low, quiet_high = false_band(self.rule.critical)
            low, high = max(low, quiet_low), min(high, quiet_high)
        watch.sleep(low, high)

    def _holds(self, value: float, firing: Severity | None) -> Severity | None:
        for severity, level in ((Severity.CRITICAL, self.rule.critical), (Severity.WARNING, self.rule.warning)):
            if level is None:
                continue
            # Hysteresis: while a severity fires, its level holds until the value is back at `recover`.
            held = firing is not None and firing.rank >= severity.rank and not level.recovered(value)
            if level.breached(value) or held:
                return severity
        return None

    def _level(self, severity: Severity | None) -> Level:
        level = self.rule.critical if severity is Severity.CRITICAL else self.rule.warning
        level = level or self.rule.warning or self.rule.critical
        assert level is not None  # a rule has one, by its parser
        return level


def _rank(severity: Severity | None) -> int:
    return 0 if severity is None else severity.rank


class ThresholdEngine(OneByOne):
    """Judge thresholds."""

    body = ThresholdRule

    def wants(self, body: ThresholdRule, *, interval: float) -> Wants:
        """Ask for one signal, as often as its window and `for` need."""
        return Wants((Input(body.signal, body.aggregate, grid(body.signal, body.aggregate, body.timing, interval)),))

    def open(self, body: ThresholdRule, wants: Wants, *, at: float) -> Judge:  # noqa: ARG002
        """Begin to judge a rule."""
        return ThresholdJudge(body, wants)
