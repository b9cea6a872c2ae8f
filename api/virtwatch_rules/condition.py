"""Rules of kind `condition`: several signals together, from different sources too.

Signals join by device. A rule with a signal per device is judged for each device of the first such signal (and of those
that share a device with it): a comparison on a signal of that device is of that device, one on a signal of the target
is of the target, and one on devices of another kind holds when it holds for any of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

from virtwatch_api.alert import INACTIVE, Change, Reason, interrupt
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import AllOf, AnyOf, Comparison, ConditionRule, MissingData, Severity
from virtwatch_rules.alerts import Alert, Said, Saved
from virtwatch_rules.engine import Judge, OneByOne, Watch
from virtwatch_rules.inputs import Input, Wants
from virtwatch_rules.threshold import false_band, grid, true_band
from virtwatch_rules.wording import (
    describe_gone,
    describe_idle,
    describe_silence,
    describe_value,
    evidence_function,
    next_step,
)

Tree = Comparison | AllOf | AnyOf


class Truth(Enum):
    """Say what is known of a comparison: a gap that is still short leaves it as it was."""

    TRUE = "true"
    FALSE = "false"
    MISSING = "missing"


def comparisons(tree: Tree) -> Iterator[Comparison]:
    """Yield the comparisons of a condition in their order."""
    if isinstance(tree, Comparison):
        yield tree
        return
    for part in tree.parts:
        yield from comparisons(part)


def _inputs(rule: ConditionRule, interval: float) -> tuple[Input, ...]:
    """Return what each comparison asks for, in their order."""
    return tuple(
        Input(item.signal, item.aggregate, grid(item.signal, item.aggregate, rule.timing, interval))
        for item in comparisons(rule.condition)
    )


class ConditionJudge(Judge):
    """Judge a condition for one target, each device for itself."""

    def __init__(self, rule: ConditionRule, wants: Wants) -> None:
        super().__init__(wants)
        self._watches: dict[tuple[Input, str], Watch] = {}
        self._last: dict[Watch, Truth] = {}
        self._devices: list[str] = []
        # Until when an alert whose windows began under it does not get better: by a restart, a move, an edit.
        self._anew: dict[str, float] = {}
        self._take(rule, wants)

    @property
    def minds_silence(self) -> bool:
        """Return whether it alerts on missing data."""
        return self.rule.timing.missing_data is MissingData.ALERT

    def renew(self, body: Any, wants: Wants) -> bool:
        """Go on while it is about the same signals."""
        if not isinstance(body, ConditionRule) or _signals(body) != _signals(self.rule):
            return False
        if wants != self.wants:
            at = max((watch.reading.at for watch in self._watches.values()), default=0.0)
            self._anew = {device: at + _reach(wants) for device in self.alerts}
        self._take(body, wants)
        for watch in self._watches.values():
            watch.wake()
        return True

    def attach(self, watch: Watch) -> None:
        """Judge by a device from now on."""
        self._watches[watch.input, watch.device] = watch
        self._join()

    def detach(self, watch: Watch) -> None:
        """Judge by it no more."""
        if self._watches.get((watch.input, watch.device)) is watch:
            del self._watches[watch.input, watch.device]
        self._last.pop(watch, None)
        self._join()

    def recall(self, saved: Saved, *, at: float) -> None:
        """Take back an alert; it does not get better before its windows could be whole."""
        super().recall(saved, at=at)
        self._anew[saved.device] = at + _reach(self.wants)
        for watch in self._watches.values():
            watch.wake()

    def points(self, watches: Sequence[Watch], *, at: float) -> Iterator[Said]:  # noqa: ARG002
        """Judge all devices: which of them a value concerns, the condition decides."""
        rests = True
        for device in self._devices:
            alert = self.alerts.get(device)
            change, alert = self._judge(device, alert, at)
            if alert is not None and change is not None:
                yield self.say(alert, change)
            if alert is not None and alert.state == INACTIVE:
                self.drop_alert(device)
                self._anew.pop(device, None)
            elif alert is not None:
                rests = rests and alert.state.settled and device not in self._anew
        for watch in self._watches.values():
            self._rest(watch, rests=rests)

    def evidence(self, alert: Alert, change: Change | None = None) -> Evidence:  # noqa: ARG002
        """Name the comparisons that make it so."""
        result = self._truth(self.rule.condition, alert.device)
        parts = [
            (item, watch)
            for item, wanted in self._pairs
            if (watch := self._watch_that_says(item, wanted, alert.device)) is not None
            and self._one(item, watch) is result
        ]
        if not parts:
            return alert.evidence
        values = [(item, watch.reading.value) for item, watch in parts]
        text = "; ".join(_describe(item, watch) for item, watch in parts)
        first, value = values[0]
        bound = first.level.value if value is not None else None
        return Evidence(first.signal, value, bound, text, function=evidence_function(first.aggregate))

    def next_step(self, alert: Alert, *, at: float) -> str:
        """Say when it fires or resolves."""
        return next_step(alert.state, self.rule.timing, holds="true", recovers="not true", at=at)

    def gone(self, device: str, *, at: float) -> Iterator[Said]:
        """End the alert of a device that is gone."""
        alert = self.alerts.get(device)
        if alert is not None:
            signal = next((item.signal for item, _ in self._pairs if SIGNAL[item.signal].per_device), "")
            alert.evidence = Evidence(signal, text=describe_gone(signal, device))
        yield from super().gone(device, at=at)

    def vanish(self, *, at: float) -> Iterator[Said]:
        """End all alerts; the target's windows are gone."""
        yield from super().vanish(at=at)
        self._watches, self._last, self._anew, self._devices = {}, {}, {}, []

    def _take(self, rule: ConditionRule, wants: Wants) -> None:
        self.rule, self.wants = rule, wants
        self._pairs = tuple(zip(comparisons(rule.condition), wants.inputs, strict=True))
        self._input = {id(item): wanted for item, wanted in self._pairs}
        self._join()

    def _join(self) -> None:
        """Find the devices that the condition is judged for."""
        if not any(SIGNAL[item.signal].per_device for item, _ in self._pairs):
            self._devices = [""]
            return
        joined: set[str] = set()
        for _, wanted in self._pairs:
            devices = {device for asked, device in self._watches if asked == wanted and device}
            if not joined or joined & devices:
                joined |= devices
        self._devices = sorted(joined)

    def _judge(self, device: str, alert: Alert | None, at: float) -> tuple[Change | None, Alert | None]:
        truth, timing = self._truth(self.rule.condition, device), self.rule.timing
        holds: Severity | None = self.rule.severity if truth is Truth.TRUE else None
        reason = Reason.BREACH
        if truth is Truth.MISSING:
            reason = Reason.NO_DATA
            if timing.missing_data is MissingData.HOLD:
                if alert is not None:
                    alert.state = interrupt(alert.state)
                return None, alert
            holds = self.rule.severity if timing.missing_data is MissingData.ALERT else None
        if device in self._anew:
            if at >= self._anew[device]:
                del self._anew[device]
            elif holds is None and reason is not Reason.NO_DATA:
                return None, alert
        if alert is None:
            if holds is None:
                return None, None
            alert = self.open_alert(device)
        change = alert.judge(holds, timing=timing, at=at, reason=reason)
        if change is not None and change.severity is None and reason is Reason.NO_DATA:
            change = replace(change, reason=reason)
        return change, alert

    def _truth(self, tree: Tree, device: str) -> Truth:
        if isinstance(tree, Comparison):
            watch = self._watch_that_says(tree, self._input[id(tree)], device)
            return Truth.FALSE if watch is None else self._one(tree, watch)
        parts = [self._truth(part, device) for part in tree.parts]
        decides, otherwise = (Truth.FALSE, Truth.TRUE) if isinstance(tree, AllOf) else (Truth.TRUE, Truth.FALSE)
        if decides in parts:
            return decides
        return Truth.MISSING if Truth.MISSING in parts else otherwise

    def _watch_that_says(self, comparison: Comparison, wanted: Input, device: str) -> Watch | None:
        """Find the watch that a comparison goes by; None while there is none."""
        own = self._watches.get((wanted, device)) or self._watches.get((wanted, ""))
        if own is not None:
            return own
        others = [watch for (asked, _), watch in self._watches.items() if asked == wanted]
        holding = (watch for watch in others if self._one(comparison, watch) is Truth.TRUE)
        return next(holding, others[0] if others else None)

    def _one(self, comparison: Comparison, watch: Watch) -> Truth:
        reading = watch.reading
        value = reading.value
        if value is not None:
            truth = Truth.TRUE if comparison.level.breached(value) else Truth.FALSE
        elif reading.idle:
            truth = Truth.FALSE
        elif reading.samples:  # one reports no rate
            truth = Truth.MISSING if self.rule.timing.missing_data is MissingData.HOLD else Truth.FALSE
        elif reading.missing:
            truth = Truth.MISSING
        else:
            return self._last.get(watch, Truth.FALSE)
        self._last[watch] = truth
        return truth

    def _rest(self, watch: Watch, *, rests: bool) -> None:
        items = [item for item, wanted in self._pairs if wanted == watch.input]
        if not rests:
            watch.wake()
            return
        bands = [
            true_band(item.level, item.level.value) if self._one(item, watch) is Truth.TRUE else false_band(item.level)
            for item in items
        ]
        watch.sleep(max(low for low, _ in bands), min(high for _, high in bands))


def _reach(wants: Wants) -> float:
    """Return after how many seconds the windows of a condition are whole, or their signals have no data."""
    return max(max(wanted.aggregate.window, 3 * wanted.interval, 5.0) for wanted in wants.inputs)


def _signals(rule: ConditionRule) -> list[str]:
    return [item.signal for item in comparisons(rule.condition)]


def _describe(comparison: Comparison, watch: Watch) -> str:
    reading, signal, device = watch.reading, comparison.signal, watch.device
    value = reading.value
    if value is not None:
        return describe_value(signal, comparison.aggregate, device, value, comparison.level)
    if reading.idle:
        return describe_idle(signal, comparison.aggregate, device)
    return describe_silence(signal, device, reading.silence)


class ConditionEngine(OneByOne):
    """Judge conditions."""

    body = ConditionRule

    def wants(self, body: ConditionRule, *, interval: float) -> Wants:
        """Ask for the signal of each comparison."""
        return Wants(_inputs(body, interval))

    def open(self, body: ConditionRule, wants: Wants, *, at: float) -> Judge:  # noqa: ARG002
        """Begin to judge a rule."""
        return ConditionJudge(body, wants)
