"""What a collector delivered so far, to be waited for."""

import time
from collections.abc import Callable
from itertools import pairwise
from threading import Condition
from typing import TypeVar

from virtwatch_agent.collect.libvirt.collector import LibvirtCollector
from virtwatch_agent.observations import Appeared, ConnectionState, Observation, Sample, TargetEvent, Unwatched
from virtwatch_api.catalogue.readings import Source

T = TypeVar("T")
DEADLINE_S = 60.0
STOP_S = 5.0
OFTEN = {Source.KERNEL: 0.2, Source.BLOCK: 0.5, Source.BALLOON: 0.5}


class Collected:
    """Start a collector, ask all sources of every domain often, and keep what comes."""

    def __init__(self, collector: LibvirtCollector) -> None:
        self.collector = collector
        self._often = OFTEN
        self._changed = Condition()
        self._all: list[Observation] = []
        collector.start(self._deliver)

    @property
    def all(self) -> list[Observation]:
        with self._changed:
            return list(self._all)

    def forget(self) -> None:
        """Drop what came so far: a test that goes on for hours keeps no more than it needs."""
        with self._changed:
            self._all.clear()

    def mark(self) -> int:
        """Return a position: what comes after it is new."""
        return len(self.all)

    def wait(self, find: Callable[[list[Observation]], T | None], what: str, *, since: int = 0) -> T:
        """Return what `find` finds in the observations since a position; fail with `what` after a deadline."""
        end = time.monotonic() + DEADLINE_S
        with self._changed:
            while (found := find(self._all[since:])) is None or found is False:
                if not self._changed.wait(end - time.monotonic()):
                    told = "\n".join(str(one) for one in self._all[since:] if not isinstance(one, Sample))
                    raise AssertionError(f"Waited in vain for {what}; there was:\n{told}")
            return found

    def ask(self, uuid: str, *sources: Source, every: float = 0.3) -> None:
        """Ask these sources from now on, of a VM that appears."""
        self._often = dict.fromkeys(sources, every)
        self.collector.plan(self.appeared(uuid).domain.target, self._often)

    def appeared(self, uuid: str, *, since: int = 0) -> Appeared:
        return self.wait(
            lambda all_: next((one for one in all_ if isinstance(one, Appeared) and one.domain.uuid == uuid), None),
            f"{uuid} to appear",
            since=since,
        )

    def event(self, uuid: str, type_: str, *, since: int = 0) -> TargetEvent:
        return self.wait(
            lambda all_: next(
                (one for one in all_ if isinstance(one, TargetEvent) and (one.target.id, one.type) == (uuid, type_)),
                None,
            ),
            f"{type_} of {uuid}",
            since=since,
        )

    def sample(
        self, uuid: str, source: Source, *, since: int = 0, holding: Callable[[Sample], bool] | None = None
    ) -> Sample:
        return self.wait(
            lambda all_: next(
                (
                    one
                    for one in all_
                    if isinstance(one, Sample)
                    and (one.target.id, one.source) == (uuid, source)
                    and (holding is None or holding(one))
                ),
                None,
            ),
            f"a {source} sample of {uuid}",
            since=since,
        )

    def connection(self, name: str, *, since: int = 0, **wanted: object) -> ConnectionState:
        """Wait for a connection's state; `well=True` or `closed=True` say which."""
        return self.wait(
            lambda all_: next(
                (
                    one
                    for one in all_
                    if isinstance(one, ConnectionState)
                    and one.connection == name
                    and all(
                        (getattr(one, key) if key != "well" else not one.problem) == value
                        for key, value in wanted.items()
                    )
                ),
                None,
            ),
            f"the connection {name} to be {wanted}",
            since=since,
        )

    def unwatched(self, connection: str, *, well: bool, since: int = 0) -> Unwatched:
        """Wait until a VM of a connection cannot be watched, or can again."""
        return self.wait(
            lambda all_: next(
                (
                    one
                    for one in all_
                    if isinstance(one, Unwatched) and one.connection == connection and (not one.problem) is well
                ),
                None,
            ),
            f"a VM of {connection} to be {'watched again' if well else 'not watched'}",
            since=since,
        )

    def events(self, uuid: str, *, since: int = 0) -> list[TargetEvent]:
        return [one for one in self.all[since:] if isinstance(one, TargetEvent) and one.target.id == uuid]

    def stop(self) -> None:
        """Stop the collector, in the time that it promises and for good."""
        begun = time.monotonic()
        self.collector.stop()
        assert time.monotonic() - begun < STOP_S

    def _deliver(self, *observations: Observation) -> None:
        with self._changed:
            self._all.extend(observations)
            self._changed.notify_all()
        for observation in observations:
            if isinstance(observation, Appeared):
                self.collector.plan(observation.domain.target, self._often)


def longest_gap(collected: Collected, uuid: str, source: Source, *, since: int) -> float:
    """Return the longest time (seconds) between two samples of a VM, and since the last, that ended after a mark."""
    now, all_ = time.monotonic(), collected.all
    clocks = [
        (number, one.clock)
        for number, one in enumerate(all_)
        if isinstance(one, Sample) and (one.target.id, one.source) == (uuid, source)
    ]
    ended = pairwise([*clocks, (len(all_), now)])
    return max((later - earlier for (_, earlier), (at, later) in ended if at >= since), default=float("inf"))
