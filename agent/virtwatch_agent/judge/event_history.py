"""What a VM's events leave behind.

Some wait for its rules, and an alert that comes after its VM has missed the newest.
"""

from collections import deque

from virtwatch_agent.judge.alerts import EventAlert
from virtwatch_agent.judge.rules import clears, matches
from virtwatch_agent.observations import TargetEvent

_MAX_WAITING = 32  # events of a VM whose identity is not known yet
_MAX_NEWEST = 32  # since a VM came


class EventHistory:
    """Remember a VM's events."""

    def __init__(self) -> None:
        self._waiting: deque[TargetEvent] = deque(maxlen=_MAX_WAITING)
        self._newest: deque[TargetEvent] = deque(maxlen=_MAX_NEWEST)

    def wait(self, event: TargetEvent) -> None:
        """Keep an event until the VM's rules are known."""
        self._waiting.append(event)

    @property
    def waiting(self) -> bool:
        """Tell whether any event waits."""
        return bool(self._waiting)

    def waited(self) -> list[TargetEvent]:
        """Return, once, what has waited."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def judged(self, event: TargetEvent) -> None:
        """Note an event that was judged; a start begins anew."""
        if event.type == "vm.started":
            self._newest.clear()
        self._newest.append(event)

    def forget(self) -> None:
        """Drop what was judged: the VM is gone."""
        self._newest.clear()

    def what_ends(self, alert: EventAlert) -> TargetEvent | None:
        """Return what ended an alert before it came, unless its cause came again since."""
        for event in reversed(self._newest):
            # What a gap hid names no device.
            if matches(alert.rule.event, event) and event.attributes.get("device", "") in ("", alert.key.device):
                return None
            if clears(alert.rule, event):
                return event
        return None
