"""Keeps a rule that flaps from filling the journal: its alert says that it flaps, how often, and where it stands."""

from dataclasses import dataclass, replace

from virtwatch_agent.judge.records import AlertRecord
from virtwatch_agent.judge.target import Target
from virtwatch_agent.judge.verdict import Verdict
from virtwatch_api.alert import Action, AlertKey, AlertState, Reason
from virtwatch_api.policy import PolicyKey, Severity
from virtwatch_api.targets import TargetRef

# Transitions of one alert, and of all alerts of a policy on one target, that are journaled as they come; then one for
# each so many seconds. A bucket per policy and target: what one tenant's VM does costs no other's.
ALERT_BURST, ALERT_REFILL_S = 10, 60.0
TARGET_REFILL_S = 15.0
# Events that a policy's patterns over nodes count: more in a storm, since nobody is notified of each.
COUNTED_BURST, COUNTED_REFILL_S = 200, 1.0
_ALERTS_PER_TARGET = 4  # whose whole burst a target has
_MAX_BUCKETS = 50_000
_FLAPS = 3  # changes that waited, from which on an alert says that it flaps


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float

    def fill(self, now: float, *, burst: int, refill: float) -> None:
        self.tokens = min(burst, self.tokens + (now - self.at) / refill)
        self.at = now


@dataclass(slots=True)
class _Held:
    """Hold an alert whose changes wait: what was reported last, and how it stands now."""

    reported: Severity | None
    reported_since: float
    stands: Severity | None
    since: float
    target: Target
    verdict: Verdict
    changes: int
    begun: float


class Flapping:
    """Decide which changes become transitions; `now` is monotonic seconds.

    `burst` is how many transitions of one alert are journaled as they come.
    """

    def __init__(self, *, burst: int = ALERT_BURST) -> None:
        self._burst = burst
        self._target_burst = burst * _ALERTS_PER_TARGET
        self._alerts: dict[AlertKey, _Bucket] = {}
        self._targets: dict[tuple[PolicyKey, TargetRef], _Bucket] = {}
        self._held: dict[AlertKey, _Held] = {}
        self._counted: dict[PolicyKey, _Bucket] = {}

    def pass_on(self, target: Target, verdict: Verdict, *, now: float) -> Verdict | None:
        """Return what is to be journaled of a change; None while it waits."""
        key, change = verdict.key, verdict.change
        held = self._held.get(key)
        if change.action is Action.HANDED_OVER or change.reason in (Reason.POLICY_CHANGED, Reason.POLICY_DELETED):
            self._held.pop(key, None)
            return verdict if held is None else _since_reported(held, verdict)
        first_critical = held is None and change.severity is Severity.CRITICAL and key not in self._alerts
        if held is None and (self._spend(key, now=now) or first_critical):
            return verdict
        if held is None:
            held = self._held[key] = _Held(
                change.previous, change.since, change.severity, change.since, target, verdict, 0, now
            )
        held.stands, held.since, held.target, held.verdict = change.severity, change.since, target, verdict
        held.changes += 1
        return None

    def may_count(self, policy: PolicyKey, *, now: float) -> bool:
        """Return whether one more event may be reported to be counted by a policy's patterns over nodes."""
        bucket = self._counted.setdefault(policy, _Bucket(COUNTED_BURST, now))
        bucket.fill(now, burst=COUNTED_BURST, refill=COUNTED_REFILL_S)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    @property
    def waits(self) -> bool:
        """Return whether changes wait."""
        return bool(self._held)

    def due(self, *, now: float) -> list[tuple[Target, Verdict]]:
        """Return what may be journaled by now of what waited."""
        found = []
        for key, held in list(self._held.items()):
            if held.reported is held.stands:
                # Nothing to tell for now; once it rests, it is forgotten.
                if now - held.begun > ALERT_REFILL_S and self._spend(key, now=now):
                    del self._held[key]
            elif self._spend(key, now=now):
                del self._held[key]
                verdict = _since_reported(held, held.verdict)
                found.append((held.target, _with_count(verdict, held, now=now)))
        return found

    def as_reported(self, record: AlertRecord) -> AlertRecord | None:
        """Return an alert as it was reported last, for the journal: after a restart the difference must be reported."""
        held = self._held.get(record.key)
        if held is None:
            return record
        if held.reported is None:
            return None if record.state.firing else record
        return replace(record, state=AlertState(severity=held.reported, since=held.reported_since))

    def unreported(self, target: Target) -> list[AlertRecord]:
        """Return the alerts of a VM that have ended, of which that was not reported yet."""
        return [
            AlertRecord(
                key=key,
                state=AlertState(severity=held.reported, since=held.reported_since),
                subject=held.verdict.subject or target.subject,
                evidence=held.verdict.evidence,
            )
            for key, held in self._held.items()
            if held.target is target and held.reported is not None and held.stands is None
        ]

    def forget(self, uuid: str) -> list[tuple[Target, Verdict]]:
        """Forget a VM that is gone; return what must still be reported of it."""
        owed = [(key, held) for key, held in self._held.items() if held.target.ref.id == uuid]
        for key, _ in owed:
            del self._held[key]
        reported = (
            (held.target, _since_reported(held, held.verdict)) for _, held in owed if held.reported is not held.stands
        )
        return list(reported)

    def _spend(self, key: AlertKey, *, now: float) -> bool:
        self._sweep(now)
        alert = self._alerts.setdefault(key, _Bucket(self._burst, now))
        target = self._targets.setdefault((key.policy, key.target), _Bucket(self._target_burst, now))
        alert.fill(now, burst=self._burst, refill=ALERT_REFILL_S)
        target.fill(now, burst=self._target_burst, refill=TARGET_REFILL_S)
        if min(alert.tokens, target.tokens) < 1:
            return False
        alert.tokens -= 1
        target.tokens -= 1
        return True

    def _sweep(self, now: float) -> None:
        if len(self._alerts) + len(self._targets) < _MAX_BUCKETS:
            return
        for key, bucket in list(self._alerts.items()):
            bucket.fill(now, burst=self._burst, refill=ALERT_REFILL_S)
            if bucket.tokens >= self._burst:
                del self._alerts[key]
        for target, bucket in list(self._targets.items()):
            bucket.fill(now, burst=self._target_burst, refill=TARGET_REFILL_S)
            if bucket.tokens >= self._target_burst:
                del self._targets[target]


def _with_count(verdict: Verdict, held: _Held, *, now: float) -> Verdict:
    if held.changes < _FLAPS:
        return verdict  # it only came late
    said = verdict.evidence.text or verdict.evidence.subject
    text = f"{said}; it flaps: {held.changes} changes in {max(now - held.begun, 1.0):.0f} s"
    return replace(verdict, evidence=replace(verdict.evidence, text=text))


def _since_reported(held: _Held, verdict: Verdict) -> Verdict:
    """Return a verdict as the change from what was reported last."""
    now = verdict.change.severity
    if now is None and held.reported is not None:
        change = replace(verdict.change, action=Action.RESOLVED, previous=held.reported, since=held.reported_since)
    elif now is not None and held.reported is None:
        change = replace(verdict.change, action=Action.FIRED, previous=None)
    else:
        worse = _rank(now) > _rank(held.reported)
        change = replace(verdict.change, action=Action.ESCALATED if worse else Action.EASED, previous=held.reported)
    if verdict.change.action is Action.HANDED_OVER:
        change = replace(change, action=Action.HANDED_OVER)
    return replace(verdict, change=change)


def _rank(severity: Severity | None) -> int:
    return 0 if severity is None else severity.rank
