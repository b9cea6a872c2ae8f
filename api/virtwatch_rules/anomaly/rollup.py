"""What the signals of one target add up to, and the bound that it is held against: one alert, within a budget."""

from collections import deque
from dataclasses import dataclass

WEEK_S = 7 * 86400.0
_ENDS_AT = 0.5  # of the bound
_STEP = 0.25  # by which a finding raises the bound; it comes down at the rate of the budget
_HIGHEST = 2.5  # times the lowest bound


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Say what a finding is: the lowest bound, and in how many of so many minutes; `per_week` a target may have."""

    bound: float
    per_week: float
    over: int = 3
    minutes: int = 4


SENSITIVITIES = {
    "Low": Sensitivity(1.3, 0.1, over=24, minutes=30),
    "Medium": Sensitivity(1.3, 0.5),
    "High": Sensitivity(0.7, 2.0),
}

# The lowest bounds of what was saved before it was saved along: since then Low's is another one.
LOWEST_BEFORE = {"Low": 2.4}


class Rollup:
    """Hold one target's sum against a bound that rises with each finding, and count findings and weeks."""

    __slots__ = ("at", "bound", "findings", "over", "sensitivity", "weeks")

    def __init__(self, sensitivity: Sensitivity) -> None:
        self.sensitivity = sensitivity
        self.bound = sensitivity.bound
        self.over: deque[bool] = deque(maxlen=sensitivity.minutes)
        self.findings = 0
        self.weeks = 0.0  # judged
        self.at = 0.0

    def renew(self, sensitivity: Sensitivity) -> None:
        """Go on by another sensitivity: as far above its lowest bound as before."""
        before, self.sensitivity = self.sensitivity, sensitivity
        self.resume(self.bound, lowest=before.bound)
        self.over = deque(self.over, maxlen=sensitivity.minutes)

    def resume(self, bound: float, *, lowest: float) -> None:
        """Take a bound that was held while `lowest` was the lowest one."""
        own = self.sensitivity.bound
        self.bound = min(_HIGHEST * own, max(own, bound * own / lowest))

    @property
    def per_week(self) -> float | None:
        """Return how many findings a week has had; None before there was one whole."""
        return self.findings / self.weeks if self.weeks >= 1.0 else None

    def holds(self, total: float, *, at: float, firing: bool) -> bool:
        """Return whether there is a finding, at a tick of a minute or so."""
        weeks = min(max(0.0, at - self.at), 3600.0) / WEEK_S if self.at else 0.0
        self.at = at
        self.weeks += weeks
        lowest = self.sensitivity.bound
        self.bound = max(lowest, self.bound - _STEP * lowest * self.sensitivity.per_week * weeks)
        if firing:
            self.over.clear()
            return total >= _ENDS_AT * self.sensitivity.bound
        self.over.append(total >= self.bound)
        if sum(self.over) < self.sensitivity.over:
            return False
        self.over.clear()
        self.findings += 1
        self.bound = min(_HIGHEST * lowest, self.bound + _STEP * lowest)
        return True
