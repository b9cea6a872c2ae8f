"""Which Events no budget withholds: an alert's first Critical, and the end of what was reported. Pure."""

from collections import OrderedDict
from dataclasses import dataclass

from virtwatch_api.policy import Severity

# A Critical that comes again within this time is a flapping alert's, and counts like any other change.
FIRST_S = 3600.0
_MAX_ALERTS = 20_000  # those that were reported of longest ago are forgotten first


@dataclass(frozen=True, slots=True)
class _Announced:
    severity: Severity | None
    critical_at: float


class Promises:
    """Remember what was reported of each alert. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._announced: OrderedDict[str, _Announced] = OrderedDict()

    def owes(self, alert: str, severity: Severity | None, *, now: float) -> bool:
        """Return whether a change to a severity (None: its end) is reported whatever the budget says."""
        before = self._announced.get(alert)
        if severity is None:
            return before is not None and before.severity is not None
        first = before is None or now - before.critical_at >= FIRST_S
        return severity is Severity.CRITICAL and first

    def announced(self, alert: str, severity: Severity | None, *, now: float) -> None:
        """Note that a change was reported."""
        before = self._announced.pop(alert, None)
        last = before.critical_at if before is not None else float("-inf")
        self._announced[alert] = _Announced(severity, now if severity is Severity.CRITICAL else last)
        if len(self._announced) > _MAX_ALERTS:
            self._announced.popitem(last=False)
