"""The seam by which a kind of rule is added: what an engine is asked for, what it is given, what it says.

A kind of rule is one module with an `Engine` and its `Judge`, and one line in `registry.py`. Neither knows about VMs,
libvirt, the journal or other engines. All times are seconds since 1970, placed by the caller on a clock that is never
set; `Evaluator.clock_set` moves them when the wall clock is.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from virtwatch_api.alert import Change, Reason
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.resolution import EffectiveRule
from virtwatch_rules.alerts import Alert, Document, Said, Saved, merge, moved_memory
from virtwatch_rules.inputs import Event, Input, Wants

NEVER = float("inf")
NO_ALERTS: Mapping[str, Alert] = MappingProxyType({})  # one for all judges: nearly all have none


class Reading(Protocol):
    """Show a shared window as it stands at the newest instant."""

    @property
    def device(self) -> str:
        """Return of which device its samples are, "" where the target has one value."""

    @property
    def seen(self) -> float:
        """Return when the newest sample was due."""

    @property
    def at(self) -> float:
        """Return the newest instant of its grid, whether or not a sample came."""

    @property
    def value(self) -> float | None:
        """Return the aggregate; None when it holds none: nothing happened (`idle`), or no data came."""

    @property
    def idle(self) -> bool:
        """Return whether samples came and none had an operation to measure."""

    @property
    def missing(self) -> bool:
        """Return whether no sample has come for three intervals, and 5 s: it is not late any more."""

    @property
    def silence(self) -> float:
        """Return for how many seconds no sample has come."""

    @property
    def whole(self) -> bool:
        """Return whether samples have come for as long as the window reaches back."""

    @property
    def samples(self) -> int:
        """Return how many samples the value rests on."""

    def rest(self) -> None:
        """Note that the band of one of its watches changed."""


class Watch:
    """Join one judge to one window: an input of its rule on one device.

    While the value stays within [`low`, `high`] the judge is not called. It opens with an empty band, which calls the
    judge each time; one that has nothing to say of usual values sets the band, and empties it while an alert is pending
    or fires. `next` is the judge's, to string its watches together.
    """

    __slots__ = ("high", "input", "judge", "low", "next", "reading")

    def __init__(self, owner: "Judge", wanted: Input, reading: Reading) -> None:
        self.judge = owner
        self.input = wanted
        self.reading = reading
        self.next: Watch | None = None
        self.low, self.high = NEVER, -NEVER

    @property
    def device(self) -> str:
        """Return of which device its window is, "" where the target has one value."""
        return self.reading.device

    def sleep(self, low: float, high: float) -> None:
        """Call the judge only for values outside [low, high], and for no value."""
        self.low, self.high = low, high
        self.reading.rest()

    def wake(self) -> None:
        """Call the judge for each value."""
        self.sleep(NEVER, -NEVER)


class Learning(NamedTuple):
    """Say how far a rule has learned its target: `judged` seconds, in which it has found so much that is unusual."""

    warming_up: bool
    judged: float
    findings: int


class Judge(ABC):
    """Judge one rule for one target; a kind of rule overrides what it needs.

    `wants` is what it asks for now, `tick_at` the next instant at which `tick` must be called though nothing came.
    `save_within` is how many seconds of what it learned may be lost. `effective` is its evaluator's: the rule in force
    that it judges. There is one for each rule of each target, so it holds no more than it must.
    """

    __slots__ = ("alerts", "effective", "tick_at", "wants")

    save_within = 300.0
    learns = False  # whether `learning` has anything to tell
    effective: EffectiveRule

    def __init__(self, wants: Wants) -> None:
        self.wants = wants
        self.alerts = NO_ALERTS  # changed by `open_alert` and `drop_alert` alone
        self.tick_at = NEVER

    @property
    def due_at(self) -> float:
        """Return before when `tick` changes nothing unless something comes, where no clock is ever set back."""
        return self.tick_at

    @property
    def minds_silence(self) -> bool:
        """Return whether it keeps watching a device that is gone: that it has no data is what it fires on."""
        return False

    def open_alert(self, device: str = "") -> Alert:
        """Return the alert of a device, made where there is none."""
        alert = self.alerts.get(device)
        if alert is None:
            alert = Alert(device)
            self.alerts = {**self.alerts, device: alert}
        return alert

    def drop_alert(self, device: str = "") -> Alert | None:
        """Forget the alert of a device, and return it."""
        alert = self.alerts.get(device)
        if alert is not None:
            self.alerts = {name: other for name, other in self.alerts.items() if name != device} or NO_ALERTS
        return alert

    @abstractmethod
    def renew(self, body: Any, wants: Wants) -> bool:
        """Go on by the rule's new text; False when it became something else, and its alerts must end."""

    @abstractmethod
    def evidence(self, alert: Alert, change: Change | None = None) -> Evidence:
        """Say by what an alert is judged now, or what led to a change of it. Called only when it is said or asked."""

    @abstractmethod
    def next_step(self, alert: Alert, *, at: float) -> str:
        """Say what becomes of an alert if nothing changes: "fires in 40 s if it stays above 90%"; "" for nothing."""

    def devices(self) -> Iterable[str]:
        """Return the devices that it judges now, "" where the target has one value."""
        return self.alerts or ("",)

    def attach(self, watch: Watch) -> None:  # noqa: B027 - an engine of events has no watches
        """Take a watch on a device that has shown up (or on a window that starts again), before its first value."""

    def detach(self, watch: Watch) -> None:  # noqa: B027
        """Drop a watch: its device is gone, or its window no longer asked for."""

    def points(self, watches: Sequence[Watch], *, at: float) -> Iterable[Said]:  # noqa: ARG002
        """Judge as of `at`: these windows moved on, by a sample or by one that did not come."""
        return ()

    def event(self, event: Event, *, absent: bool) -> Iterable[Said]:  # noqa: ARG002
        """Judge an event of the types that it wants; `absent` when its target is gone already."""
        return ()

    def recent(self, alert: Alert, newest: Sequence[Event]) -> Iterable[Said]:  # noqa: ARG002
        """Judge an alert that came after its target by what happened to the target here before, newest last."""
        return ()

    def tick(self, *, at: float) -> Iterable[Said]:  # noqa: ARG002
        """Let time pass."""
        return ()

    def appear(self, *, at: float) -> Iterable[Said]:  # noqa: ARG002
        """Note that the target is there."""
        return ()

    def vanish(self, *, at: float) -> Iterator[Said]:
        """End what is about a target that runs."""
        yield from self._end_all(Reason.DOMAIN_STOPPED, at=at)

    def leave(self, *, at: float) -> None:
        """Forget the alerts and what they wait for: the target has gone to another place, and they with it."""
        self.alerts = NO_ALERTS
        for _ in self.vanish(at=at):
            pass

    def gone(self, device: str, *, at: float) -> Iterator[Said]:
        """End the alert of a device that the target has no more."""
        alert = self.drop_alert(device)
        if alert is not None and (change := alert.end(Reason.NO_DATA, at=at)) is not None:
            yield self.say(alert, change)

    def end(self, reason: Reason, *, at: float) -> Iterator[Said]:
        """End all alerts: the rule is gone."""
        yield from self._end_all(reason, at=at)

    def recall(self, saved: Saved, *, at: float) -> None:  # noqa: ARG002
        """Take back an alert from before a restart or from another place; where one is here, the worse continues."""
        here = self.alerts.get(saved.device)
        merged = saved if here is None else merge(here.saved(), saved)
        alert = self.open_alert(saved.device)
        alert.state, alert.evidence, alert.traceparent = merged.state, merged.evidence, merged.traceparent
        alert.memory = dict(merged.memory)

    @property
    def learning(self) -> Learning | None:
        """Return how far the rule has learned its target; None for a rule that need not learn."""
        return None

    def save(self) -> Document | None:
        """Return what the rule has learned beside its alerts, None for nothing."""
        return None

    def parts(self) -> Iterator[Document]:
        """Yield what the rule has learned in documents that each may go along alone to another place."""
        if (document := self.save()) is not None:
            yield document

    def restore(self, document: Document) -> None:  # noqa: B027 - most have nothing
        """Take back what was saved; what cannot be read is left, and learned again."""

    def clock_set(self, seconds: float) -> None:
        """Let timers continue though the clock was set."""
        for alert in self.alerts.values():
            alert.state = alert.state.moved(seconds)
            alert.memory = moved_memory(alert.memory, seconds)
        self.tick_at += seconds

    def say(self, alert: Alert, change: Change) -> Said:
        """Say a change, with its evidence as it is now."""
        alert.evidence = self.evidence(alert, change)
        return Said(alert, change, alert.evidence)

    def _end_all(self, reason: Reason, *, at: float) -> Iterator[Said]:
        alerts, self.alerts = self.alerts, NO_ALERTS
        for alert in alerts.values():
            if (change := alert.end(reason, at=at)) is not None:
                yield self.say(alert, change)


class Woken(NamedTuple):
    """Hold one judge that must look, at what, and as of when."""

    judge: Judge
    watches: Sequence[Watch]
    at: float


class Engine(Protocol):
    """Give a kind of rule its judges. One engine serves all targets of a process."""

    @property
    def body(self) -> type:
        """Return the type of the rules' bodies that it judges."""

    def wants(self, body: Any, *, interval: float) -> Wants:
        """Say what a rule asks for; `interval` (seconds) is its policy's, lowered where the rule needs it."""

    def open(self, body: Any, wants: Wants, *, at: float) -> Judge:
        """Begin to judge a rule for a target."""

    def points(self, batch: Sequence[Woken]) -> Iterator[tuple[Judge, Said]]:
        """Judge what moved on, of all targets of one turn, so that a batch can be cheap."""


class OneByOne:
    """Judge a batch one by one: what an engine without a cheaper way does."""

    def points(self, batch: Sequence[Woken]) -> Iterator[tuple[Judge, Said]]:
        """Ask each judge in turn."""
        for owner, watches, at in batch:
            for said in owner.points(watches, at=at):
                yield owner, said
