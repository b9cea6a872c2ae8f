"""What an evaluator says of one target's alerts, and what it wants kept of them."""

from dataclasses import dataclass

from virtwatch_api.alert import AlertState, Change
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import PolicyKey
from virtwatch_api.resolution import EffectiveRule
from virtwatch_rules.alerts import Alert, Saved


@dataclass(frozen=True, slots=True)
class AlertName:
    """Name an alert among those of one target."""

    policy: PolicyKey
    rule: str
    device: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Hold an alert that is pending or fires, as it is to be kept."""

    name: AlertName
    saved: Saved


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold one transition and why it came.

    `effective` is None when the end of its rule, its target or its stay here is what it came by; `alert` is the alert
    where it continues; `saved` is what goes along with one that is handed over.
    """

    name: AlertName
    change: Change
    evidence: Evidence
    enforced: bool = True  # False while a policy only observes
    effective: EffectiveRule | None = None
    alert: Alert | None = None
    saved: Saved | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """Say how an alert stands and what comes next, for people."""

    name: AlertName
    state: AlertState
    evidence: Evidence
    next_step: str
