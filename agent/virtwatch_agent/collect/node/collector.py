"""Samples the node as its rules ask, on a thread of its own: it waits for no libvirt."""

import logging
import threading
from collections.abc import Mapping, Sequence

from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.node.source import NodeSource
from virtwatch_agent.collect.schedule import Schedule
from virtwatch_agent.observations import Sample
from virtwatch_agent.seams import Clock, Collector, Deliver
from virtwatch_api.catalogue.readings import READINGS, Source
from virtwatch_api.targets import TargetRef

logger = logging.getLogger(__name__)

_LONGEST_SLEEP_S = 30.0  # whoever plans wakes it
_JOIN_S = 1.0


class NodeCollector(Collector):
    """Deliver samples of one node."""

    def __init__(self, sources: Mapping[Source, NodeSource], clock: Clock, cost: CostMeter) -> None:
        self._sources = sources
        self._clock = clock
        self._cost = cost
        self._failing: set[Source] = set()
        self._schedule = Schedule()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._deliver: Deliver | None = None
        self._thread = threading.Thread(target=self._run, name="node-collector", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""
        self._deliver = deliver
        self._thread.start()

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Say how often (seconds) the node is read."""
        with self._lock:
            self._schedule.plan(target, target.id, intervals, now=self._clock.monotonic())
        self._wake.set()

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        """Say which sources are read at a random instant of so many seconds."""
        with self._lock:
            self._schedule.scatter(target, within)

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        """Read a source once more, at an instant."""
        with self._lock:
            self._schedule.once_more(target, source, at)
        self._wake.set()

    def glance(self, target: TargetRef, bounds: Mapping[str, Sequence[float]]) -> None:
        """Glance at nothing: what is cheap of a node is read for telemetry anyway, and pressure reports itself."""

    def launchers(self, pods: frozenset[str]) -> None:
        """Need nothing of them."""

    def stop(self) -> None:
        """End within a second."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._stopping:
            try:
                sleep = self._sample()
            except Exception:
                logger.exception("reading the node failed and will be tried again; please report this as a defect")
                sleep = _LONGEST_SLEEP_S
            self._wake.wait(sleep)
            self._wake.clear()

    def _sample(self) -> float:
        """Read what is due; return for how many seconds nothing is."""
        now = self._clock.monotonic()
        with self._lock:
            due = [
                (target, source, self._schedule.was_due(target, source)) for target, source in self._schedule.due(now)
            ]
        for target, source, asked_at in due:
            found = self._read(source)
            clock = self._clock.monotonic()
            self._cost.sampled(clock - (clock if asked_at is None else asked_at))
            at = self._clock.time()
            sample = Sample(target, source, "node", 0.0, at, clock, found.values, asked_at, found.unavailable)
            if self._deliver is not None and not self._stopping:
                self._deliver(sample)
        with self._lock:
            following = self._schedule.next_due()
        sleep = _LONGEST_SLEEP_S if following is None else following - self._clock.monotonic()
        return min(_LONGEST_SLEEP_S, max(0.0, sleep))

    def _read(self, source: Source) -> Found:
        """Read one source; one that cannot be read costs its own figures."""
        try:
            found = self._sources[source]()
        except (OSError, NotImplementedError, ValueError) as error:
            if source not in self._failing:
                self._failing.add(source)
                logger.warning("cannot read the source %s of the node: %s; its signals have no value", source, error)
            return Found({}, {item.key: source.absence for item in READINGS if item.source is source})
        self._failing.discard(source)
        return found
