"""The agent's one loop.

Everything that happens comes through one queue, so that judging needs no locks and the order of events is the order
of judgements. Sources, reporter and telemetry are plugged in (seams.py).
"""

import logging
import queue
import threading
from collections.abc import Callable

from virtwatch_agent.collect.cost import Cost
from virtwatch_agent.core.culprits import Culprits
from virtwatch_agent.core.dispatch import Dispatch
from virtwatch_agent.core.flapping import ALERT_BURST
from virtwatch_agent.core.learning import Learner, Learning
from virtwatch_agent.core.outcome import Outcome
from virtwatch_agent.journal.learned import LearnedStore
from virtwatch_agent.journal.store import Journal, JournalInUseError
from virtwatch_agent.observations import Observation
from virtwatch_agent.seams import Clock, Collector, HostThreads, Reporter, Telemetry, ThresholdSource

_LOG = logging.getLogger(__name__)
_TICK = 1.0  # seconds between looks at the clock: missing data, expiry, a disk that failed or hangs
_REST = 5.0  # the same while nothing happens, and nothing is waited for
_BATCH = 500  # observations handled before the journal is written
_TRACEBACK_S = 60.0  # between two tracebacks in the log: a defect that every sample meets must not flood it


class Core:
    """Watch a node: take observations, judge, journal, report."""

    def __init__(
        self,
        *,
        node: str,
        collector: Collector,
        thresholds: ThresholdSource,
        reporter: Reporter,
        telemetry: Telemetry,
        journal: Journal,
        threads: HostThreads,
        clock: Clock,
        new_epoch: Callable[[], str],
        cost: Callable[[], Cost],
        export_interval: float = 15.0,
        burst: int = ALERT_BURST,
    ) -> None:
        """`cost` returns what the agent costs now; `export_interval` in seconds.

        `burst` is how many transitions of one alert are journaled as they come, before it counts as one that flaps.
        """
        self._collector = collector
        self._source = thresholds
        self._clock = clock
        self._queue: queue.SimpleQueue[tuple[Observation, ...] | None] = queue.SimpleQueue()
        self._outcome = Outcome(
            journal,
            reporter,
            telemetry,
            clock,
            new_epoch=new_epoch,
            cost=cost,
            started=clock.time(),
            burst=burst,
            wake=self.deliver,
        )
        self._dispatch = Dispatch(
            node=node,
            collector=collector,
            telemetry=telemetry,
            outcome=self._outcome,
            clock=clock,
            guarded=self._guarded,
            export_interval=export_interval,
            culprits=Culprits(threads, clock),
        )
        self._learning = Learning(LearnedStore(journal.folder))
        self._next_traceback = float("-inf")
        self._thread = threading.Thread(target=self._run, name="core", daemon=True)
        self._stopping = threading.Event()
        self.alive_at = clock.monotonic()
        self.waiting = ""  # a sentence, while another process has the state folder

    @property
    def ready(self) -> bool:
        """Return whether policies are known, so that VMs are judged."""
        return self._dispatch.ready

    def start(self) -> None:
        """Begin: what was known before is taken back first."""
        self._thread.start()
        self._source.start(self.deliver)
        self._collector.start(self.deliver)

    def deliver(self, *observations: Observation) -> None:
        """Take observations, which are judged in one turn and so written in one transaction; never blocks."""
        self._queue.put(observations)

    def stop(self) -> None:
        """End: no more observations, then the journal is written and closed."""
        self._stopping.set()
        self._collector.stop()
        self._source.stop()
        self._queue.put(None)
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        if not self._take_back():
            return
        ticked = self._clock.monotonic()
        next_tick, unseen = ticked + _TICK, False
        running = True
        while running:
            self.alive_at = self._clock.monotonic()
            batch, running = self._take(max(0.0, next_tick - self.alive_at))
            self.alive_at = self._clock.monotonic()  # a rest is not part of what a batch may take
            self._guarded(self._dispatch.follow_clock)
            for observation in batch:
                try:  # as `_guarded` does, which costs samples by the hundred more than it should
                    self._dispatch.handle(observation)
                except Exception:  # noqa: BLE001
                    self._failed()
            unseen = unseen or bool(batch)
            if (now := self._clock.monotonic()) >= next_tick:
                ticked, unseen = now, False
                self._guarded(self._dispatch.tick)
                self._guarded(self._learn)
            self._guarded(self._dispatch.settle)
            # What came since may wait for something; else it is known until when there is nothing to do.
            rests = self._learning.rests(now=self._clock.time())
            soonest = float("-inf") if unseen else min(self._dispatch.tick_at, now + rests)
            next_tick = min(max(soonest, ticked + _TICK), ticked + _REST)
        self._guarded(self._outcome.flush)
        self._guarded(self._dispatch.settle)  # publishes what is on disk now
        self._guarded(lambda: self._learning.close(self._learners, now=self._clock.time()))
        self._outcome.close()

    @property
    def _learners(self) -> list[Learner]:
        return [*self._dispatch.judged, self._outcome.observed]

    def _learn(self) -> None:
        taught, self._dispatch.taught = self._dispatch.taught, False
        self._learning.look(self._learners, now=self._clock.time(), at_once=taught)

    def _take_back(self) -> bool:
        """Take back what was known before, once no other process has it; False when this one ends first."""
        while not self._stopping.is_set():
            self.alive_at = self._clock.monotonic()
            try:
                restored = self._outcome.open()
            except JournalInUseError as error:
                if not self.waiting:
                    _LOG.warning("%s.", error)
                self.waiting = str(error)
                self._stopping.wait(_TICK)
                continue
            self._learning.open(now=self._clock.time())
            self._dispatch.restore(restored)
            self.waiting = ""
            return True
        return False

    def _take(self, timeout: float) -> tuple[list[Observation], bool]:
        batch: list[Observation] = []
        try:
            item = self._queue.get(timeout=timeout)
            while item is not None:
                batch.extend(item)
                if len(batch) >= _BATCH:
                    return batch, True
                item = self._queue.get_nowait()
        except queue.Empty:
            return batch, True
        return batch, False

    def _guarded(self, act: Callable[[], None]) -> None:
        # The loop's edge: one observation that breaks a judgement must not end the judging of all others.
        try:
            act()
        except Exception:  # noqa: BLE001
            self._failed()

    def _failed(self) -> None:
        self._outcome.errors += 1
        if self._clock.monotonic() >= self._next_traceback:
            self._next_traceback = self._clock.monotonic() + _TRACEBACK_S
            _LOG.exception("an observation could not be judged; going on (%d so far)", self._outcome.errors)
