"""The kind of rule `anomaly`: signals that leave what a target has taught, joined into one alert of the target."""

import math
from collections.abc import Iterable, Iterator, Sequence

from virtwatch_api.alert import Change, Reason
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import Aggregate, AnomalyRule, Function
from virtwatch_rules.alerts import AT_ONCE, Alert, Document, Said
from virtwatch_rules.anomaly.detector import Detector
from virtwatch_rules.anomaly.pause import PAUSING, Pause
from virtwatch_rules.anomaly.rollup import LOWEST_BEFORE, SENSITIVITIES, WEEK_S, Rollup
from virtwatch_rules.anomaly.series import Episode, Series
from virtwatch_rules.anomaly.state import detector_from, document
from virtwatch_rules.anomaly.wording import describe
from virtwatch_rules.engine import Judge, Learning, OneByOne, Watch
from virtwatch_rules.inputs import Event, Input, Wants

POINT_S = 60.0  # a point is the mean of so many seconds
LEARNING_S = 7 * 86400.0  # before the first finding: on the first day there are 50 times as many as on the seventh
MAX_SERIES = 64  # per rule and target
PART_SERIES = 4  # of less than 3 KiB each
VERSION = 1
_JITTER_S = 0.5


class AnomalyEngine(OneByOne):
    """Judge anomaly rules."""

    body = AnomalyRule

    def wants(self, body: AnomalyRule, *, interval: float) -> Wants:
        """Ask for a mean per minute of each signal, and for what a target does that is no normal run."""
        every = min(interval, POINT_S) if interval < POINT_S else interval
        mean = Aggregate(Function.AVG, max(POINT_S, interval))
        inputs = tuple(Input(signal, mean, every) for signal in body.signals)
        return Wants(inputs, PAUSING)

    def open(self, body: AnomalyRule, wants: Wants, *, at: float) -> "AnomalyJudge":
        """Begin to learn a target."""
        return AnomalyJudge(body, wants, at=at)


class AnomalyJudge(Judge):
    """Learn and judge one target."""

    learns = True

    def __init__(self, body: AnomalyRule, wants: Wants, *, at: float) -> None:
        super().__init__(wants)
        self.body = body
        self.series: dict[tuple[str, str], Series] = {}
        self.rollup = Rollup(SENSITIVITIES[body.sensitivity])
        self.pause = Pause()
        self.begun = at  # of learning
        self.cut = 0  # series beyond MAX_SERIES
        self.tick_at = at + POINT_S

    def renew(self, body: AnomalyRule, wants: Wants) -> bool:
        """Go on with what was learned: other signals come and go, and the bound follows the sensitivity."""
        self.body, self.wants = body, wants
        self.rollup.renew(SENSITIVITIES[body.sensitivity])
        for key in [key for key in self.series if key[0] not in body.signals]:
            del self.series[key]
        return True

    def points(self, watches: Sequence[Watch], *, at: float) -> Iterable[Said]:
        """Take what is due; the target is judged once a minute, by `tick`."""
        for watch in watches:
            value = watch.reading.value
            if value is None:
                continue
            series = self._series(watch.input.signal, watch.device)
            if series is not None and at - series.detector.last >= self._spacing(watch.input) - _JITTER_S:
                series.take(at, value, paused=self.pause.on(at), alert=self._firing)
        return ()

    def event(self, event: Event, *, absent: bool) -> Iterable[Said]:  # noqa: ARG002
        """Note what is no normal run: nothing is learned in it, and nothing found."""
        self.pause.note(event.type, at=event.at)
        return ()

    def tick(self, *, at: float) -> Iterable[Said]:
        """Hold the target's sum against its bound."""
        self.tick_at = at + POINT_S
        for series in self.series.values():
            series.quiet(at)
        if at - self.begun < LEARNING_S or self.pause.on(at):
            return
        total = sum(series.weight for series in self.series.values())
        holds = self.rollup.holds(total, at=at, firing=self._firing)
        if not holds and not self.alerts:
            return
        alert = self.open_alert()
        change = alert.judge(self.body.severity if holds else None, timing=AT_ONCE, at=at, reason=Reason.BREACH)
        if change is not None:
            yield self.say(alert, change)
        if not alert.state.firing:
            self.drop_alert()

    def vanish(self, *, at: float) -> Iterator[Said]:
        """End the alert; what was learned is kept for the target's next run."""
        self.pause.note("vm.stopped", at=at)
        yield from super().vanish(at=at)

    def gone(self, device: str, *, at: float) -> Iterator[Said]:  # noqa: ARG002 - the alert is of the target
        """Forget a device."""
        for key in [key for key in self.series if key[1] == device and device]:
            del self.series[key]
        yield from ()

    def evidence(self, alert: Alert, change: Change | None = None) -> Evidence:  # noqa: ARG002
        """Say the most unusual signals: value, expected band, since when, how sure."""
        worst = self._worst()
        if not worst:
            return alert.evidence
        (signal, _), first = worst[0]
        text = describe(worst, self.rollup)
        return Evidence(signal, first.value, text=text, band=(first.lower, first.upper))

    def next_step(self, alert: Alert, *, at: float) -> str:  # noqa: ARG002
        """Say how far learning is, or how far the sum is from the bound."""
        learned = at - self.begun
        if learned < LEARNING_S:
            days = LEARNING_S / 86400
            return f"learns for {days:g} days before its first finding; {learned / 86400:.1f} days are over"
        if self.pause.on(at):
            return f"does not judge while {self.pause.why}"
        total = sum(series.weight for series in self.series.values())
        many = f"{self.rollup.sensitivity.over} of {self.rollup.sensitivity.minutes} minutes"
        return f"surprise is {total:.1f}; fires from {self.rollup.bound:.1f} on in {many}"

    @property
    def learning(self) -> Learning:
        """Return how far it has learned, and what it has found since."""
        return Learning(not (self.rollup.at or self.rollup.weeks), self.rollup.weeks * WEEK_S, self.rollup.findings)

    def save(self) -> Document | None:
        """Return what was learned."""
        return self._document(self.series.items())

    def parts(self) -> Iterator[Document]:
        """Yield what was learned, a few series at a time."""
        series = list(self.series.items())
        for first in range(0, len(series), PART_SERIES):
            yield self._document(series[first : first + PART_SERIES])

    def _document(self, some: Iterable[tuple[tuple[str, str], Series]]) -> Document:
        series = [[*key, document(item.detector)] for key, item in some]
        rollup = self.rollup
        counts = {
            "findings": rollup.findings,
            "weeks": rollup.weeks,
            "bound": rollup.bound,
            "lowest": rollup.sensitivity.bound,
        }
        return {"version": VERSION, "begun": self.begun, "series": series, **counts}

    def restore(self, document: Document) -> None:
        """Take back what was learned; what cannot be read is learned again."""
        if document.get("version") != VERSION:
            return
        try:
            begun, findings = float(document["begun"]), int(document["findings"])
            weeks, bound = float(document["weeks"]), float(document["bound"])
            own = self.rollup.sensitivity.bound
            lowest = float(document.get("lowest", LOWEST_BEFORE.get(self.body.sensitivity, own)))
            saved = [(str(signal), str(device), item) for signal, device, item in document["series"]]
        except (KeyError, TypeError, ValueError):
            return
        if not all(map(math.isfinite, (begun, weeks, bound, lowest))) or lowest <= 0:
            return
        self.begun = min(self.begun, begun)
        self.rollup.findings, self.rollup.weeks = findings, weeks
        self.rollup.resume(bound, lowest=lowest)
        for signal, device, item in saved[:MAX_SERIES]:
            detector = detector_from(item)
            if detector is not None and signal in self.body.signals:
                self.series[signal, device] = Series(detector)

    def clock_set(self, seconds: float) -> None:
        """Let timers continue though the clock was set; the hours of the day are those of the new clock."""
        super().clock_set(seconds)
        self.begun += seconds
        self.rollup.at += seconds
        self.pause.moved(seconds)
        for series in self.series.values():
            series.moved(seconds)

    @property
    def _firing(self) -> bool:
        return any(alert.state.firing for alert in self.alerts.values())

    def _series(self, signal: str, device: str) -> Series | None:
        found = self.series.get((signal, device))
        if found is None and len(self.series) >= MAX_SERIES:
            self.cut += 1
            return None
        if found is None:
            found = self.series[signal, device] = Series(Detector(_floor(signal)))
        return found

    def _spacing(self, wanted: Input) -> float:
        return max(POINT_S, wanted.interval)

    def _worst(self) -> list[tuple[tuple[str, str], Episode]]:
        found = [(key, series, series.episode or series.last) for key, series in self.series.items()]
        rated = [(series.surprise, key, episode) for key, series, episode in found if episode is not None]
        return [(key, episode) for _, key, episode in sorted(rated, key=lambda item: (-item[0], item[1]))]


def _floor(signal: str) -> float:
    """Return the least change that matters, by the signal's unit."""
    known = SIGNAL.get(signal)
    return 0.0 if known is None else _FLOORS.get(known.unit, 1.0)


_FLOORS = {"1": 0.02, "s": 0.002, "By": 16 * 2**20, "By/s": 64 * 2**10}
