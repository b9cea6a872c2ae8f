"""Rules of kind `event`: one event fires, others end it, or time does."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from virtwatch_api.alert import Change, Reason
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import EventMatch, EventRule, Timing
from virtwatch_rules.alerts import ABSENT_SINCE, AT_ONCE, LOCAL, OUTLIVES, Alert, Said, Saved
from virtwatch_rules.engine import NEVER, Judge, OneByOne
from virtwatch_rules.inputs import Event, Wants
from virtwatch_rules.wording import describe_seconds

LAST_AT = "last_at"
_BY_IO_ERROR = "by_io_error"  # in an alert's memory: what fired it last was an I/O error, or the pause that it caused
# What a live migration does on both nodes, and a start before it is done, is no stop, pause or start of the target, but
# to a rule that names the reason.
_PASSING = frozenset({"migrated", "migration", "postcopy", "starting"})
# QEMU repeats the requests that failed as soon as it continues: in vain, they pause the VM again at once. KubeVirt lets
# such a VM continue every few seconds, and an alert that ended and began with it would be said each time.
_REPEATED = "vm.resumed"
_UNTIL_IT_HOLDS = Timing(keep_firing_for=3.0)
_ROUNDING_S = 0.002  # by which timers may end early: the state machine takes due instants to be exact to half of it
# What these events say is how this place sees a target, not how the target is.
_LOCAL = frozenset({"vm.telemetry_stuck", "vm.telemetry_recovered", "libvirt.lost", "libvirt.restored"})


def matches(wanted: EventMatch, event: Event) -> bool:
    """Return whether an event is of the type and has the attributes that a rule asks for."""
    has_them = all(event.attributes.get(key) == value for key, value in wanted.where)
    return wanted.type == event.type and has_them and (not _passes(event) or _means_passing(wanted))


def clears(rule: EventRule, event: Event) -> bool:
    """Return whether an event ends the alert of a rule."""
    return event.type in rule.resolve_on and (not _passes(event) or _means_passing(rule.event))


def describe_event(event: Event) -> str:
    """Name an event, its attributes, and whether it was heard."""
    attributes = ", ".join(f"{key} {value}" for key, value in sorted(event.attributes.items()) if value)
    text = f"{event.type} ({attributes})" if attributes else event.type
    return f"{text}, found after a gap" if event.inferred else text


def is_eviction(evidence: Evidence) -> bool:
    """Return whether an alert says, as `describe_event` does, that its VM ended because it was evicted."""
    return evidence.subject == "vm.stopped" and "cause evicted" in evidence.text


def _is_io_error(event: Event) -> bool:
    """Return whether an event is an I/O error, or the pause that it caused."""
    return event.type == "vm.io_error" or (event.type == "vm.paused" and event.attributes.get("reason") == "ioerror")


def event_memory(event_type: str, *, last_at: float | None, absent_since: float | None) -> dict[str, Any]:
    """Return what an alert on events remembers; the caller has it from a record of an older version."""
    return {"version": 1, LAST_AT: last_at, ABSENT_SINCE: absent_since, OUTLIVES: True, LOCAL: event_type in _LOCAL}


def _passes(event: Event) -> bool:
    return event.attributes.get("reason") in _PASSING


def _means_passing(wanted: EventMatch) -> bool:
    return any(key == "reason" and value in _PASSING for key, value in wanted.where)


class EventJudge(Judge):
    """Judge one rule on events of one target, each device for itself."""

    def __init__(self, rule: EventRule, wants: Wants) -> None:
        super().__init__(wants)
        self.rule = rule

    @property
    def due_at(self) -> float:
        """Return when the first alert may end by time."""
        return min(map(self._may_end_at, self.alerts.values()), default=NEVER)

    def renew(self, body: Any, wants: Wants) -> bool:
        """Go on while the event is the same."""
        if not isinstance(body, EventRule) or body.event != self.rule.event:
            return False
        self.rule, self.wants = body, wants
        self._plan()
        return True

    def event(self, event: Event, *, absent: bool) -> Iterator[Said]:
        """Fire or end; while it fires, a repeat only renews the evidence."""
        if matches(self.rule.event, event):
            alert = self._alert(event)
            alert.memory = event_memory(event.type, last_at=event.at, absent_since=alert.memory.get(ABSENT_SINCE))
            alert.memory[_BY_IO_ERROR] = _is_io_error(event)
            if absent and alert.memory[ABSENT_SINCE] is None:
                alert.memory[ABSENT_SINCE] = event.at  # it waited for its rule, and outlived its target
            again = alert.state.firing and event.inferred  # what was heard says more than what is found again
            change = alert.judge(self.rule.severity, timing=AT_ONCE, at=event.at, reason=Reason.EVENT)
            yield from self._said(alert, change, None if again else event)
        elif clears(self.rule, event):
            for alert in list(self.alerts.values()):
                yield from self._clear(alert, event)
        self._plan()

    def recent(self, alert: Alert, newest: Sequence[Event]) -> Iterator[Said]:
        """End it by what happened here before it came, unless its cause came again since."""
        for event in reversed(newest):
            # What a gap hid names no device.
            if matches(self.rule.event, event) and event.attributes.get("device", "") in ("", alert.device):
                return
            if clears(self.rule, event):
                yield from self._clear(alert, event)
                self._plan()
                return

    def tick(self, *, at: float) -> Iterator[Said]:
        """End what nothing else would end: no resolveOn is named, or the target is gone for good."""
        for alert in list(self.alerts.values()):
            yield from self._said(alert, self._expire(alert, at))
        self._plan()

    def appear(self, *, at: float) -> Sequence[Said]:  # noqa: ARG002
        """Let alerts stay: the target is there."""
        for alert in self.alerts.values():
            alert.memory[ABSENT_SINCE] = None
        self._plan()
        return ()

    def vanish(self, *, at: float) -> Iterator[Said]:
        """Let alerts stay until their own end, but what is about how this place saw the target."""
        for device, alert in list(self.alerts.items()):
            if alert.memory.get(LOCAL):
                self.drop_alert(device)
                yield from self._said(alert, alert.end(Reason.DOMAIN_STOPPED, at=at))
            else:
                alert.memory[ABSENT_SINCE] = at
        self._plan()

    def gone(self, device: str, *, at: float) -> Iterator[Said]:  # noqa: ARG002
        """Keep the alert: what happened, happened."""
        yield from ()

    def recall(self, saved: Saved, *, at: float) -> None:
        """Take back an alert."""
        super().recall(saved, at=at)
        self._plan()

    def evidence(self, alert: Alert, change: Change | None = None) -> Evidence:  # noqa: ARG002
        """Return the newest event that concerned it."""
        return alert.evidence

    def next_step(self, alert: Alert, *, at: float) -> str:
        """Say what ends it."""
        if not alert.state.firing:
            return f"fires on {self.rule.event.type}"
        if alert.state.warning_good_since is not None:
            return f"resolves in {describe_seconds(_UNTIL_IT_HOLDS.keep_firing_for)} unless it happens again"
        rest = describe_seconds(max(0.0, self._end_at(alert) - at)) if self._end_at(alert) < NEVER else ""
        if self.rule.resolve_on:
            ends = f"resolves on {' or '.join(self.rule.resolve_on)}"
            return f"{ends}, or in {rest} if its target does not come back" if rest else ends
        return f"resolves in {rest} unless it happens again"

    def _alert(self, event: Event) -> Alert:
        device = event.attributes.get("device", "")
        if event.inferred and not device:
            # A gap hides the device: what fires already is what was found again.
            device = next((alert.device for alert in self.alerts.values() if alert.state.firing), device)
        return self.open_alert(device)

    def _clear(self, alert: Alert, event: Event) -> Iterator[Said]:
        alert.evidence = Evidence(event.type, text=describe_event(event))
        # What an older version saved says nothing of its cause.
        by_io_error = alert.memory.get(_BY_IO_ERROR, self.rule.event.type == "vm.io_error")
        if by_io_error and event.type == _REPEATED:
            yield from self._said(alert, self._clearing(alert, event.at))
        else:
            yield from self._said(alert, alert.end(Reason.EVENT_CLEARED, at=event.at))

    def _clearing(self, alert: Alert, at: float) -> Change | None:
        change = alert.judge(None, timing=_UNTIL_IT_HOLDS, at=at, reason=Reason.EVENT)
        return change and replace(change, reason=Reason.EVENT_CLEARED)

    def _expire(self, alert: Alert, at: float) -> Change | None:
        if not alert.state.firing:
            return None
        if alert.state.warning_good_since is not None and (change := self._clearing(alert, at)) is not None:
            return change
        keep, memory = self.rule.keep_firing_for, alert.memory
        # A clock that was set back while nobody saw it starts the timers again.
        absent, last = memory.get(ABSENT_SINCE), memory.get(LAST_AT) or alert.state.since
        if absent is not None:
            memory[ABSENT_SINCE] = min(absent, at)
            if at - memory[ABSENT_SINCE] >= keep:
                return alert.end(Reason.DOMAIN_STOPPED, at=at)
        if last is not None:
            memory[LAST_AT] = min(last, at)
            if not self.rule.resolve_on and at - memory[LAST_AT] >= keep:
                return alert.end(Reason.EXPIRED, at=at)
        return None

    def _end_at(self, alert: Alert) -> float:
        ends = []
        if (absent := alert.memory.get(ABSENT_SINCE)) is not None:
            ends.append(absent)
        if not self.rule.resolve_on:
            ends.append(alert.memory.get(LAST_AT) or alert.state.since or 0.0)
        return min(ends, default=NEVER) + self.rule.keep_firing_for

    def _may_end_at(self, alert: Alert) -> float:
        good_since = alert.state.warning_good_since
        clears_at = NEVER if good_since is None else good_since + _UNTIL_IT_HOLDS.keep_firing_for
        return min(clears_at, self._end_at(alert)) - _ROUNDING_S

    def _said(self, alert: Alert, change: Change | None, event: Event | None = None) -> Iterator[Said]:
        if event is not None:
            alert.evidence = Evidence(event.type, text=describe_event(event))
        if change is not None:
            yield self.say(alert, change)
        if not alert.state.firing:
            self.drop_alert(alert.device)

    def _plan(self) -> None:
        """Tick when an alert may end; each time while a clock that is set back could hide that."""
        self.tick_at = -NEVER if self.alerts else NEVER


class EventEngine(OneByOne):
    """Judge rules on events."""

    body = EventRule

    def wants(self, body: EventRule, *, interval: float) -> Wants:  # noqa: ARG002
        """Ask for the event and for those that end it."""
        return Wants(events=frozenset({body.event.type, *body.resolve_on}))

    def open(self, body: EventRule, wants: Wants, *, at: float) -> Judge:  # noqa: ARG002
        """Begin to judge a rule."""
        return EventJudge(body, wants)
