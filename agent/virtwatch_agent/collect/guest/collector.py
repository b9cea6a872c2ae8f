"""Samples what guests report of themselves, beside the collector of VMs.

One thread on which all that is known changes. Guests are asked in a pool: one that does not answer delays no other.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.guest.reader import GuestReader, nothing
from virtwatch_agent.collect.libvirt.call_pool import Call, CallPool
from virtwatch_agent.collect.passing import PassingCollector
from virtwatch_agent.collect.schedule import Schedule
from virtwatch_agent.observations import Appeared, Domain, Observation, Sample, Vanished
from virtwatch_agent.seams import Clock, Collector, Deliver
from virtwatch_api.catalogue import absences
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TargetRef

logger = logging.getLogger(__name__)

ASK_EVERY_S = 60.0  # a guest at most
ASK_SILENT_EVERY_S = 600.0  # one that never answers, at most: each time it holds a call for seconds
ANSWER_S = 8.0  # after which a guest counts as silent; libvirt gives its agent 5 to say that it is there
_SLOW_S = 2.0
_THREADS = 4
_LONGEST_SLEEP_S = 1.0  # while some guest is asked
_JOIN_S = 1.0
_CLOSE_S = 0.2


@dataclass(frozen=True, slots=True)
class _Answer:
    """Hold what a guest reported, for its next `wait` seconds, until it is asked again (monotonic seconds)."""

    incarnation: str
    found: Found
    wait: float
    until: float


class GuestCollector(PassingCollector):
    """Take the source `guest` out of the plans of VMs, and pass all else on."""

    def __init__(
        self, virtual_machines: Collector, reader: GuestReader, clock: Clock, *, answer_s: float = ANSWER_S
    ) -> None:
        """`answer_s` is for how many seconds a guest may take to answer."""
        super().__init__(virtual_machines)
        self._reader = reader
        self._clock = clock
        self._schedule = Schedule()
        self._domains: dict[str, Domain] = {}
        self._answers: dict[str, _Answer] = {}
        self._asking: set[str] = set()  # UUIDs
        self._lock = threading.Lock()
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._pool = CallPool(self._tasks.put, clock, deadline=answer_s, size=_THREADS)
        self._stopping = False
        self._deliver: Deliver | None = None
        self._thread = threading.Thread(target=self._run, name="guests", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""

        def received(*observations: Observation) -> None:
            # Nearly all are samples: they come by the hundred.
            if rare := [item for item in observations if not isinstance(item, Sample)]:
                with self._lock:
                    for observation in rare:
                        self._note(observation)
            deliver(*observations)

        self._deliver = deliver
        self._collector.start(received)
        self._thread.start()

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Say how often (seconds) each source is asked for a target."""
        own: dict[Source, float] = {source: every for source, every in intervals.items() if source is Source.GUEST}
        with self._lock:
            self._schedule.plan(target, target.id, own, now=self._clock.monotonic())
        self._collector.plan(target, {source: every for source, every in intervals.items() if source not in own})
        if own:
            self._tasks.put(lambda: None)

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        """Say which sources are asked at a random instant of so many seconds."""
        with self._lock:
            self._schedule.scatter(target, {one: every for one, every in within.items() if one is Source.GUEST})
        self._collector.scatter(target, {one: every for one, every in within.items() if one is not Source.GUEST})

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        """Ask a source once more; a guest tells nothing new that soon."""
        if source is not Source.GUEST:
            self._collector.look_again(target, source, at)

    def stop(self) -> None:
        """End within 5 s; a question that hangs is left behind."""
        self._stopping = True
        self._tasks.put(lambda: None)
        self._collector.stop()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
            self._pool.close(_CLOSE_S)

    def _note(self, observation: Observation) -> None:
        match observation:
            case Appeared(domain):
                self._domains[domain.uuid] = domain
            case Vanished(uuid):
                self._domains.pop(uuid, None)
                self._answers.pop(uuid, None)

    def _run(self) -> None:
        while not self._stopping:
            self._guarded(self._tick)
            self._guarded(self._next_task())

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Exception:
            logger.exception("asking guests failed and will be tried again; please report this as a defect")

    def _next_task(self) -> Callable[[], None]:
        with self._lock:
            due = (self._schedule.next_due(), self._pool.next_deadline())
        now = self._clock.monotonic()
        waits = [at - now for at in due if at is not None]
        if not self._pool.resting:
            waits.append(_LONGEST_SLEEP_S)
        try:
            return self._tasks.get(timeout=max(0.0, min(waits)) if waits else None)  # None: until there is a plan
        except Empty:
            return lambda: None

    def _tick(self) -> None:
        """Report on the guests that are due, and ask those whose figures are old."""
        self._pool.expire()
        now = self._clock.monotonic()
        with self._lock:
            due = [
                (target, self._schedule.was_due(target, source), self._domains.get(target.id))
                for target, source in self._schedule.due(now)
            ]
            for target, _, domain in due:
                if domain is None:
                    self._schedule.drop(target)
        for _, due_at, domain in due:
            if domain is None:
                continue
            answer = self._answers.get(domain.uuid)
            fresh = answer is not None and answer.incarnation == domain.incarnation
            asking = domain.uuid in self._asking
            if answer is not None and fresh and (asking or now < answer.until):
                self._say(domain, answer.found, due_at)
            elif not asking:
                self._ask(domain, due_at)

    def _ask(self, domain: Domain, due_at: float | None) -> None:
        self._asking.add(domain.uuid)
        began = self._clock.monotonic()
        self._pool.submit(
            Call(
                run=partial(self._reader, domain),
                done=partial(self._answered, domain, due_at, began),
                failed=partial(self._failed, domain),
                overdue=partial(self._overdue, domain, due_at),
            )
        )

    def _answered(self, domain: Domain, due_at: float | None, began: float, found: Found) -> None:
        self._asking.discard(domain.uuid)
        slow = self._clock.monotonic() - began >= _SLOW_S
        self._take(domain, found, wait=self._longer(domain) if slow else ASK_EVERY_S)
        self._say(domain, found, due_at)

    def _overdue(self, domain: Domain, due_at: float | None) -> None:
        found = nothing(absences.KUBEVIRT_SILENT if domain.pod_uid else absences.GUEST_SILENT)
        self._take(domain, found, wait=self._longer(domain))
        self._say(domain, found, due_at)

    def _failed(self, domain: Domain, error: Exception) -> None:
        self._asking.discard(domain.uuid)
        logger.error("asking the guest of VM %s failed; please report this as a defect", domain.name, exc_info=error)
        self._take(domain, nothing(absences.GUEST_SILENT), wait=self._longer(domain))

    def _longer(self, domain: Domain) -> float:
        known = self._answers.get(domain.uuid)
        return ASK_EVERY_S if known is None else min(ASK_SILENT_EVERY_S, 2 * known.wait)

    def _take(self, domain: Domain, found: Found, *, wait: float) -> None:
        with self._lock:
            now = self._domains.get(domain.uuid)
            if now is not None and now.incarnation == domain.incarnation:
                until = self._clock.monotonic() + wait
                self._answers[domain.uuid] = _Answer(domain.incarnation, found, wait, until)

    def _say(self, domain: Domain, found: Found, due_at: float | None) -> None:
        if self._deliver is None or self._stopping or domain.uuid not in self._domains:
            return
        at, clock = self._clock.time(), self._clock.monotonic()
        self._deliver(
            Sample(
                domain.target,
                Source.GUEST,
                domain.incarnation,
                at,
                at,
                clock,
                found.values,
                due_at,
                found.unavailable,
            )
        )
