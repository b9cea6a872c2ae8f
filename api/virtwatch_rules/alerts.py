"""One alert of a rule, what is said of it, and what is kept of it: all kinds of rule share them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from virtwatch_api.alert import INACTIVE, AlertState, Change, Reason, carry_on, judge, resolve
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import Severity, Timing

NO_EVIDENCE = Evidence("")
AT_ONCE = Timing()

# JSON: what is kept of an engine across restarts and moves. It carries a "version"; who cannot read it starts again.
Document = Mapping[str, Any]

# What an alert's memory may hold beside what its engine puts there. A key that ends in _at or _since holds a time in
# seconds since 1970, which moves when the clock is set.
LOCAL = "local"  # about how this place sees its target: it does not go along with it
LEARNED = "learned"  # of what is handed over beside alerts: what a rule has learned, in the rule's own words
OUTLIVES = "outlives"  # continues after its target is gone
ABSENT_SINCE = "absent_since"


def moved_memory(memory: Document, seconds: float) -> dict[str, Any]:
    """Return a memory after the clock was set by `seconds`."""
    times = (key for key in memory if key.endswith(("_at", "_since")) and memory[key] is not None)
    return {**memory, **{key: memory[key] + seconds for key in times}}


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
    anew: bool = False  # its window began under it: after a restart, in another place, by an edit

    def judge(self, holds: Severity | None, *, timing: Timing, at: float, reason: Reason) -> Change | None:
        """Advance the state machine by one judgement as of `at`."""
        self.state, change = judge(self.state, holds, timing=timing, now=at, reason=reason)
        return change

    def end(self, reason: Reason, *, at: float) -> Change | None:
        """End the alert at once."""
        self.state, change = resolve(self.state, now=at, reason=reason)
        return change

    def saved(self) -> "Saved":
        """Return what must survive of it."""
        return Saved(self.device, self.state, self.evidence, dict(self.memory), self.traceparent)


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

    def moved(self, seconds: float) -> "Saved":
        """Return it after the clock was set by `seconds`: timers continue."""
        return replace(self, state=self.state.moved(seconds), memory=moved_memory(self.memory, seconds))


def merge(here: Saved, came: Saved) -> Saved:
    """Go on with an alert that another place judged before, and this one meanwhile: the worse one tells why.

    Of what both remember under a key that ends in _at, the later counts.
    """
    state = carry_on(here.state, came.state)
    worse = here if here.state.severity is state.severity and came.state.severity is not state.severity else came
    other = came if worse is here else here
    later = {
        key: max(value, other.memory[key])
        for key, value in worse.memory.items()
        if key.endswith("_at") and value is not None and other.memory.get(key) is not None
    }
    kept = {key: value for key, value in other.memory.items() if worse.memory.get(key) is None and key.endswith("_at")}
    return replace(worse, state=state, memory={**worse.memory, **kept, **later})
