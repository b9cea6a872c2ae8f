"""What a rule asks for, and what is given to it. Times are seconds since 1970, on a clock that is never set."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from virtwatch_api.policy import Aggregate


class Point(NamedTuple):
    """Hold one value of a signal; `device` is "" where the target has one value.

    `value` is None where the signal was read and nothing happened that it could measure: the latency of an idle disk.
    That is neither slow nor missing. What could not be read gives no point.
    """

    signal: str
    device: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """Hold what one look at one target gave.

    `due` is the instant of the schedule that the look answers, not when it came: windows and timers go by it. A look at
    a random instant of its interval is due at the end of that interval. `signals` are those that the look can report,
    `devices` those that it saw, whether or not each gave a point: a device that stays away is gone.
    """

    due: float
    points: Sequence[Point]
    signals: Set[str] = frozenset()
    devices: Set[str] = frozenset()


class Event(Protocol):
    """Name what judging needs of an event; `inferred` when it was found by comparing after a gap."""

    @property
    def type(self) -> str:
        """Return its name in the catalogue."""

    @property
    def at(self) -> float:
        """Return when it happened."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """Return what `where` matches; `device` names the alert."""

    @property
    def inferred(self) -> bool:
        """Return whether nobody heard it."""


@dataclass(frozen=True, slots=True)
class Input:
    """Ask for one signal: how its samples become a value, and the grid (seconds) on which they are wanted."""

    signal: str
    aggregate: Aggregate
    interval: float


@dataclass(frozen=True, slots=True)
class Wants:
    """Say what a rule asks for: the planner adds it up, the store opens windows for it, `events` are types.

    `counted` are the types of events that the rule needs of its target, but does not judge there.
    """

    inputs: tuple[Input, ...] = ()
    events: frozenset[str] = frozenset()
    counted: frozenset[str] = frozenset()
