"""One alert each: the window or event that it waits for, and its state. All share the api's state machine."""

from collections.abc import Set
from dataclasses import dataclass, replace

from virtwatch_agent.judge.window import Window
from virtwatch_agent.judge.wording import describe_silence, describe_unplugged, describe_value
from virtwatch_agent.observations import TargetEvent
from virtwatch_api import alert as machine
from virtwatch_api.alert import INACTIVE, AlertKey, AlertState, Change, Reason
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import Enforcement, EventRule, Level, MissingData, Severity, ThresholdRule, Timing

NO_EVIDENCE = Evidence("")

_AT_ONCE = Timing()
# QEMU repeats the requests that failed as soon as it goes on: in vain, they pause the VM again at once. KubeVirt lets
# such a VM go on every few seconds, and an alert that ended and began with it would be said each time.
_REPEATED = ("vm.io_error", "vm.resumed")
_UNTIL_IT_HOLDS = Timing(keep_firing_for=3.0)
_STALE_INTERVALS = 3
_STALE_AT_LEAST = 5.0  # seconds; below it a slow sample would look like missing data
_UNPLUGGED = 30.0  # seconds without a device whose VM has others: a file that cannot be read once is not enough


@dataclass(slots=True)
class ThresholdAlert:
    """Judge one signal of one device against a rule."""

    key: AlertKey
    rule: ThresholdRule
    enforcement: Enforcement
    interval: float
    window: Window
    seen: float  # monotonic seconds of the last sample, or of the beginning
    state: AlertState = INACTIVE
    evidence: Evidence = NO_EVIDENCE
    traceparent: str = ""
    there: float | None = None  # monotonic seconds when its device was last there
    window_anew: bool = False  # its window began under it: after a restart, on another node, or by an edit

    def sample(self, value: float, *, clock: float, now: float) -> Change | None:
        """Judge with one more sample; `clock` is monotonic, `now` seconds since 1970."""
        self.take(value, clock=clock)
        judged = self.window.value(clock)
        if judged is None:
            return None
        holds = self._holds(judged)
        if self.window_anew and _rank(holds) < _rank(self.state.severity) and not self.window.whole(clock):
            return None  # half a window cannot say that it got better
        level = self._level(holds or self.state.severity)
        self.state, change = machine.judge(self.state, holds, timing=self.rule.timing, now=now, reason=Reason.BREACH)
        if change is not None or self.state != INACTIVE:
            bound = level.value if level else None
            text = describe_value(self.rule, judged, level, self.key.device)
            self.evidence = Evidence(self.rule.signal, judged, bound, text)
        return change

    def take(self, value: float, *, clock: float) -> None:
        """Take a sample without judging by it yet."""
        self.seen = clock
        self.window.add(clock, value)

    def tick(self, *, clock: float, now: float) -> Change | None:
        """Do what the rule says about missing data, once it is missing."""
        silence = clock - self.seen
        if silence < max(_STALE_AT_LEAST, _STALE_INTERVALS * self.interval):
            return None
        match self.rule.timing.missing_data:
            case MissingData.HOLD:
                return None
            case MissingData.RESOLVE:
                self.state, change = machine.resolve(self.state, now=now, reason=Reason.NO_DATA)
            case MissingData.ALERT:
                mildest = Severity.WARNING if self.rule.warning else Severity.CRITICAL
                holds = self.state.severity or mildest
                self.state, change = machine.judge(
                    self.state, holds, timing=self.rule.timing, now=now, reason=Reason.NO_DATA
                )
        self.evidence = Evidence(self.rule.signal, text=describe_silence(self.rule, silence))
        return change

    def measured_by(self, source: Source) -> bool:
        """Tell whether the samples of a source are those of its signal."""
        return source in SIGNAL[self.rule.signal].sources

    def unplugged(self, there: Set[str], *, clock: float) -> bool:
        """Tell whether its device is gone for good; `there` are the devices of a sample that it would be in."""
        if self.there is None or self.key.device in there:
            self.there = clock
        elif self.rule.timing.missing_data is not MissingData.ALERT and clock - self.there >= _UNPLUGGED:
            self.evidence = Evidence(self.rule.signal, text=describe_unplugged(self.rule, self.key.device))
            return True
        return False

    def end(self, reason: Reason, *, now: float) -> Change | None:
        """End the alert at once."""
        self.state, change = machine.resolve(self.state, now=now, reason=reason)
        return change

    def clock_set(self, seconds: float) -> None:
        """Let its timers go on though the clock was set."""
        self.state = self.state.moved(seconds)

    def _holds(self, value: float) -> Severity | None:
        firing = self.state.severity
        for severity, level in ((Severity.CRITICAL, self.rule.critical), (Severity.WARNING, self.rule.warning)):
            if level is None:
                continue
            # Hysteresis: while a severity fires, its level holds until the value is back at `recover`.
            held = firing is not None and firing.rank >= severity.rank and not level.recovered(value)
            if level.breached(value) or held:
                return severity
        return None

    def _level(self, severity: Severity | None) -> Level | None:
        if severity is Severity.CRITICAL and self.rule.critical is not None:
            return self.rule.critical
        return self.rule.warning or self.rule.critical


@dataclass(slots=True)
class EventAlert:
    """Fire on one event of one device."""

    key: AlertKey
    rule: EventRule
    enforcement: Enforcement
    state: AlertState = INACTIVE
    evidence: Evidence = NO_EVIDENCE
    traceparent: str = ""
    absent_since: float | None = None  # seconds since 1970, while its domain is gone
    last_event: float | None = None

    def event(self, event: TargetEvent, *, now: float) -> Change | None:
        """Fire; while it fires, a repeat only renews the evidence."""
        self.last_event = now
        self.state, change = machine.judge(
            self.state, self.rule.severity, timing=_AT_ONCE, now=now, reason=Reason.EVENT
        )
        self.evidence = Evidence(event.type, text=_describe(event))
        return change

    def clear(self, event: TargetEvent, *, now: float) -> Change | None:
        """Resolve because an event of resolveOn came; where it may be in vain, only once nothing came after it."""
        self.evidence = Evidence(event.type, text=_describe(event))
        if (self.rule.event.type, event.type) == _REPEATED:
            return self._clearing(now=now)
        return self.end(Reason.EVENT_CLEARED, now=now)

    def tick(self, *, now: float) -> Change | None:
        """Resolve what nothing else would end: no resolveOn is named, or the domain is gone for good."""
        keep = self.rule.keep_firing_for
        if not self.state.firing:
            return None
        if self.state.warning_good_since is not None and (change := self._clearing(now=now)) is not None:
            return change
        # A clock that was set back while nobody saw it starts the timers anew.
        if self.absent_since is not None:
            self.absent_since = min(self.absent_since, now)
            if now - self.absent_since >= keep:
                return self.end(Reason.DOMAIN_STOPPED, now=now)
        last = self.last_event if self.last_event is not None else self.state.since
        if last is not None:
            self.last_event = min(last, now)
            if not self.rule.resolve_on and now - self.last_event >= keep:
                return self.end(Reason.EXPIRED, now=now)
        return None

    def end(self, reason: Reason, *, now: float) -> Change | None:
        """End the alert at once."""
        self.state, change = machine.resolve(self.state, now=now, reason=reason)
        return change

    def clock_set(self, seconds: float) -> None:
        """Let its timers go on though the clock was set."""
        self.state = self.state.moved(seconds)
        self.absent_since = machine.moved(self.absent_since, seconds)
        self.last_event = machine.moved(self.last_event, seconds)

    def _clearing(self, *, now: float) -> Change | None:
        self.state, change = machine.judge(self.state, None, timing=_UNTIL_IT_HOLDS, now=now, reason=Reason.EVENT)
        return change and replace(change, reason=Reason.EVENT_CLEARED)


Alert = ThresholdAlert | EventAlert


def _rank(severity: Severity | None) -> int:
    return 0 if severity is None else severity.rank


def _describe(event: TargetEvent) -> str:
    attributes = ", ".join(f"{key} {value}" for key, value in sorted(event.attributes.items()) if value)
    text = f"{event.type} ({attributes})" if attributes else event.type
    return f"{text}, found after a gap" if event.inferred else text
