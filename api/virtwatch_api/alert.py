"""The one alert state machine in which every kind of rule ends. Pure: time is passed in."""

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import PolicyKey, Severity, Timing
from virtwatch_api.targets import TargetRef


@dataclass(frozen=True, slots=True)
class AlertKey:
    """Identify an alert by policy, rule, target and device: not by node and not by the policy's generation."""

    policy: PolicyKey
    rule: str
    target: TargetRef
    device: str = ""

    @property
    def id(self) -> str:
        """Return 16 hexadecimal digits that are the same on every node and after every restart."""
        target = self.target
        # A VM's ids are from before there were other kinds of target.
        what = target.id if target.kind is TargetKind.VIRTUAL_MACHINE else str(target)
        parts = (self.policy.kind, self.policy.namespace or "", self.policy.name, self.rule, what, self.device)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


class Action(StrEnum):
    """Name what a transition did."""

    FIRED = "Fired"
    ESCALATED = "Escalated"
    EASED = "Eased"
    RESOLVED = "Resolved"
    HANDED_OVER = "HandedOver"
    COUNTED = "Counted"  # an event that the operator counts by a pattern which spans nodes: nothing to tell by itself


class Reason(StrEnum):
    """Say why a transition came."""

    BREACH = "Breach"
    EVENT = "Event"
    NO_DATA = "NoData"
    RECOVERED = "Recovered"
    EVENT_CLEARED = "EventCleared"
    EXPIRED = "Expired"
    DOMAIN_STOPPED = "DomainStopped"
    MIGRATED = "Migrated"
    POLICY_CHANGED = "PolicyChanged"
    POLICY_DELETED = "PolicyDeleted"


@dataclass(frozen=True, slots=True)
class AlertState:
    """Hold what an alert remembers; times in seconds since 1970, so that they survive a restart.

    Each level has the timers of one Prometheus alert: `..._since` says since when it has held without a break (`for`),
    `..._good_since` since when it has been good again while it still fires (`keepFiringFor`).
    """

    severity: Severity | None = None
    since: float | None = None
    warning_since: float | None = None
    warning_good_since: float | None = None
    critical_since: float | None = None
    critical_good_since: float | None = None

    @property
    def firing(self) -> bool:
        """Return whether the alert fires."""
        return self.severity is not None

    @property
    def holding(self) -> Severity | None:
        """Return the worst level that held at the last judgement."""
        if self.critical_since is not None:
            return Severity.CRITICAL
        return Severity.WARNING if self.warning_since is not None else None

    @property
    def settled(self) -> bool:
        """Return whether no timer runs: judged alike again, it stays as it is."""
        return self.severity is self.holding and self.warning_good_since is None and self.critical_good_since is None

    @property
    def pending(self) -> bool:
        """Return whether a level holds but not long enough yet."""
        return self.severity is None and (self.warning_since is not None or self.critical_since is not None)

    def moved(self, seconds: float) -> "AlertState":
        """Return the state after the clock was set by `seconds`: timers continue, `since` stays as it was reported."""
        return replace(
            self,
            warning_since=moved(self.warning_since, seconds),
            warning_good_since=moved(self.warning_good_since, seconds),
            critical_since=moved(self.critical_since, seconds),
            critical_good_since=moved(self.critical_good_since, seconds),
        )


INACTIVE = AlertState()

# Due instants are exact to a millisecond; a float of that size is not.
_SLACK_S = 0.001


def moved(timer: float | None, seconds: float) -> float | None:
    """Return a timer after the clock was set by `seconds`."""
    return None if timer is None else timer + seconds


@dataclass(frozen=True, slots=True)
class Change:
    """Describe one transition of the state machine; `at` is the instant as of which it was judged."""

    action: Action
    reason: Reason
    severity: Severity | None
    previous: Severity | None
    since: float
    at: float


Step = tuple[AlertState, Change | None]


@dataclass(frozen=True, slots=True)
class _Level:
    """Hold one level's timers and whether it fires."""

    fires: bool
    since: float | None
    good_since: float | None

    def judge(self, holds: bool, timing: Timing, now: float) -> "_Level":  # noqa: FBT001
        if holds:
            since = _not_after(now, self.since)
            return _Level(self.fires or now - since >= timing.for_ - _SLACK_S, since, None)
        if not self.fires:
            return _Level(fires=False, since=None, good_since=None)
        good_since = _not_after(now, self.good_since)
        kept = now - good_since < timing.keep_firing_for - _SLACK_S
        return _Level(kept, None, good_since if kept else None)


def _not_after(now: float, since: float | None) -> float:
    """Return since when a timer runs; after a clock stepped back, since now, or it would last as long as the step."""
    return now if since is None else min(since, now)


def judge(state: AlertState, holds: Severity | None, *, timing: Timing, now: float, reason: Reason) -> Step:
    """Advance by one judgement: `holds` is the worst level that holds now (hysteresis applied), None when all is well.

    Each level fires and ends as a Prometheus alert with `for` and `keep_firing_for` does; critical holding is warning
    holding too, and the worst level that fires is the severity. `reason` says why it would fire.
    """
    if holds is None and state == INACTIVE:
        return INACTIVE, None
    critical = _Level(state.severity is Severity.CRITICAL, state.critical_since, state.critical_good_since)
    warning = _Level(state.severity is not None, state.warning_since, state.warning_good_since)
    critical = critical.judge(holds is Severity.CRITICAL, timing, now)
    warning = warning.judge(holds is not None, timing, now)
    timers = replace(
        state,
        warning_since=warning.since,
        warning_good_since=warning.good_since,
        critical_since=critical.since,
        critical_good_since=critical.good_since,
    )
    severity = Severity.CRITICAL if critical.fires else Severity.WARNING if warning.fires else None
    return _move(timers, severity, now, reason)


def interrupt(state: AlertState) -> AlertState:
    """Break what waits: in a gap, nothing tells whether a level held or was good without a break. What fires, fires."""
    if state.severity is None:
        return INACTIVE
    critical = state.severity is Severity.CRITICAL
    return replace(
        state,
        warning_good_since=None,
        critical_since=state.critical_since if critical else None,
        critical_good_since=None,
    )


def resolve(state: AlertState, *, now: float, reason: Reason) -> Step:
    """End an alert at once: its rule, its domain or its cause is gone."""
    if state.severity is None:
        return INACTIVE, None
    return INACTIVE, Change(Action.RESOLVED, reason, None, state.severity, state.since or now, now)


def hand_over(state: AlertState, *, now: float) -> Change:
    """Let an alert go to the node to which its domain migrates; it is neither resolved nor said again by that."""
    return Change(Action.HANDED_OVER, Reason.MIGRATED, state.severity, state.severity, state.since or now, now)


def carry_on(here: AlertState, before: AlertState) -> AlertState:
    """Continue an alert that another node judged before: the worse of both counts, since the earlier."""
    worse = here if _rank(here) > _rank(before) else before
    times = [state.since for state in (here, before) if state.since is not None]
    return replace(worse, since=min(times, default=None))


def _rank(state: AlertState) -> int:
    return 0 if state.severity is None else state.severity.rank


def _move(state: AlertState, severity: Severity | None, now: float, reason: Reason) -> Step:
    previous = state.severity
    if severity is previous:
        return state, None
    if severity is None:
        return INACTIVE, Change(Action.RESOLVED, Reason.RECOVERED, None, previous, state.since or now, now)
    if previous is None:
        return replace(state, severity=severity, since=now), Change(Action.FIRED, reason, severity, None, now, now)
    since = state.since if state.since is not None else now
    action = Action.ESCALATED if severity.rank > previous.rank else Action.EASED
    return replace(state, severity=severity, since=since), Change(action, reason, severity, previous, since, now)
