"""How usual a step from one level to the next is: a small table of counted transitions."""

import math
from array import array

BINS = 8
_MOST_STEPS = 2000  # per row; then the row's counts are halved, so that old habits are forgotten


class Sequence:
    """Count the steps between eight levels."""

    __slots__ = ("at", "steps", "sums")

    def __init__(self) -> None:
        self.steps = array("d", [1.0] * (BINS * BINS))
        self.sums = array("d", [float(BINS)] * BINS)
        self.at = -1  # the bin of the last value; -1 when there is none

    def surprise(self, z: float, *, learn: bool) -> float | None:
        """Return -log P of the step to a standardised value; None for the first."""
        to = min(BINS - 1, int((z / (1.0 + abs(z)) + 1.0) * (BINS / 2)))
        row, self.at = self.at, to
        if row < 0:
            return None
        index = row * BINS + to
        surprise = -math.log(self.steps[index] / self.sums[row])
        if learn:
            self.steps[index] += 1.0
            self.sums[row] += 1.0
            if self.sums[row] > _MOST_STEPS:
                self._halve(row)
        return surprise

    def _halve(self, row: int) -> None:
        for index in range(row * BINS, (row + 1) * BINS):
            self.steps[index] = max(1.0, self.steps[index] / 2)
        self.sums[row] = sum(self.steps[row * BINS : (row + 1) * BINS])
