"""Timers are kept in the wall's time, to survive a restart, and last as long as the monotonic clock says.

When the wall's clock is set, they are moved along. Else an hour forward would be an hour for which a rule has waited.
"""

from dataclasses import replace

from virtwatch_agent.observations import Sample
from virtwatch_agent.seams import Clock

_SET = 1.0  # seconds; what changes less between two looks is a clock that is slewed
_AT_ONCE = 0.1  # seconds in which both clocks must be read to be compared


class Timeline:
    """Place instants of the monotonic clock in the wall's time, and notice when that is set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = clock.time() - clock.monotonic()

    def look(self) -> float:
        """Return by how many seconds the wall's clock was set since the last look; 0 when it was not."""
        began = self._clock.monotonic()
        ahead = self._clock.time() - began
        if self._clock.monotonic() - began > _AT_ONCE:
            return 0.0  # held up in between: the next look tells
        moved, self._ahead = ahead - self._ahead, ahead
        return moved if abs(moved) >= _SET else 0.0

    def at(self, clock: float) -> float:
        """Return the seconds since 1970 of a monotonic `clock`."""
        return clock + self._ahead

    def placed(self, sample: Sample) -> Sample:
        """Return a sample with its time by the wall's clock as it is now, if it was taken before that was set."""
        at = self.at(sample.clock)
        return sample if abs(sample.at - at) < _SET else replace(sample, at=at)
