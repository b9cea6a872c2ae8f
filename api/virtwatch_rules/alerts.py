"""One alert of a rule, what is said of it, and what is kept of it: all kinds of rule share them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from virtwatch_api.alert import INACTIVE, AlertState, Change, Reason, judge, resolve
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import Severity, Timing

NO_EVIDENCE = Evidence("")
AT_ONCE = Timing()

# JSON: what is kept of an engine across restarts and moves. It carries a "version"; who cannot read it starts anew.
Document = Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Alert:
    """Hold one alert of a rule on a device: the state machine's state, and what its engine remembers beside it.

    `memory` is a small JSON document that is saved and handed over with the state; `traceparent` is the caller's.
    """

    device: str = ""
    state: AlertState = INACTIVE
    memory: dict[str, Any] = field(default_factory=dict)
    evidence: Evidence = NO_EVIDENCE  # as last said, or as it came from another process
    traceparent: str = ""

    def judge(self, holds: Severity | None, *, timing: Timing, at: float, reason: Reason) -> Change | None:
        """Advance the state machine by one judgement as of `at`."""
        self.state, change = judge(self.state, holds, timing=timing, now=at, reason=reason)
        return change

    def end(self, reason: Reason, *, at: float) -> Change | None:
        """End the alert at once."""
        self.state, change = resolve(self.state, now=at, reason=reason)
        return change


class Said(NamedTuple):
    """Pair a transition with its alert and why; made only when something is said."""

    alert: Alert
    change: Change
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Saved:
    """Hold what must survive a restart or a move of one alert."""

    device: str
    state: AlertState
    evidence: Evidence = NO_EVIDENCE
    memory: Document = field(default_factory=dict)
    traceparent: str = ""
