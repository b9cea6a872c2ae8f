"""Lengthens the intervals of a plan while the agent is over its CPU budget, and says so once each time."""

import logging
import threading
from collections.abc import Mapping, Sequence

from virtwatch_agent.collect.budget import NO_SLOWDOWN, Slowdown
from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.passing import PassingCollector
from virtwatch_agent.seams import Collector, Deliver
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TargetRef

logger = logging.getLogger(__name__)

LOOK_S = 10.0  # between looks at what was used
_JOIN_S = 1.0


class PacedCollector(PassingCollector):
    """Pass plans on, slowed down as the budget says."""

    def __init__(self, collector: Collector, cost: CostMeter, *, look_s: float = LOOK_S) -> None:
        super().__init__(collector)
        self._cost = cost
        self._look_s = look_s
        self._lock = threading.Lock()
        self._plans: dict[TargetRef, Mapping[Source, float]] = {}
        self._glanced: dict[TargetRef, Mapping[str, Sequence[float]]] = {}
        self._slowdown = NO_SLOWDOWN
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cpu-budget", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""
        self._collector.start(deliver)
        if self._cost.budget.cpu > 0:
            self._thread.start()

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Say how often (seconds) each source is asked for a target, when nothing slows it down."""
        with self._lock:
            if intervals:
                self._plans[target] = dict(intervals)
            else:
                self._plans.pop(target, None)
            self._collector.plan(target, _slowed(intervals, self._slowdown))

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        """Pass on that a source is asked once more, unless the agent is over its budget."""
        if self._slowdown == NO_SLOWDOWN:
            self._collector.look_again(target, source, at)

    def glance(self, target: TargetRef, bounds: Mapping[str, Sequence[float]]) -> None:
        """Pass on that a target is glanced at, while nothing is slowed down."""
        with self._lock:
            if bounds:
                self._glanced[target] = bounds
            else:
                self._glanced.pop(target, None)
            if self._slowdown == NO_SLOWDOWN or not bounds:
                self._collector.glance(target, bounds)

    def stop(self) -> None:
        """End within 5 s."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
        self._collector.stop()

    def _run(self) -> None:
        while not self._ended.wait(self._look_s):
            try:
                self._look()
            except Exception:
                logger.exception(
                    "keeping to the CPU budget failed and will be tried again; please report this as a defect"
                )

    def _look(self) -> None:
        slowdown = self._cost.keep_budget()
        with self._lock:
            if slowdown == self._slowdown:
                return
            if (slowdown == NO_SLOWDOWN) != (self._slowdown == NO_SLOWDOWN):
                self._say(slowdown)
                for target, bounds in self._glanced.items():
                    self._collector.glance(target, bounds if slowdown == NO_SLOWDOWN else {})
            self._slowdown = slowdown
            for target, intervals in self._plans.items():
                self._collector.plan(target, _slowed(intervals, slowdown))

    def _say(self, slowdown: Slowdown) -> None:
        if slowdown == NO_SLOWDOWN:
            logger.info("the agent is within its CPU budget again: every source is asked as often as rules want")
        else:
            logger.warning(
                "the agent is over its budget of %g CPUs: it asks QEMU's monitors less often", self._cost.budget.cpu
            )


def _slowed(intervals: Mapping[Source, float], slowdown: Slowdown) -> Mapping[Source, float]:
    return {
        source: seconds * (slowdown.monitor if source.asks_monitor else slowdown.rest)
        for source, seconds in intervals.items()
    }
