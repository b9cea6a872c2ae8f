"""Collects one kind of libvirt object: one thread on which all that is known changes, one connection for each libvirt.

An object whose reading hangs costs its own figures: it is reported, skipped until the call returns, and the others go
on with a new connection. So do all that are known where a listing hangs; what comes and goes shows once it returns.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue

import libvirt

from virtwatch_agent.collect.libvirt.call_pool import Call, CallPool
from virtwatch_agent.collect.libvirt.call_queue import CallQueue
from virtwatch_agent.collect.libvirt.connection import Keepalive
from virtwatch_agent.collect.libvirt.event_loop import run_event_loop
from virtwatch_agent.collect.objects.connection import ObjectConnection
from virtwatch_agent.collect.objects.reader import ObjectReader
from virtwatch_agent.collect.schedule import Schedule
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.observations import (
    LibvirtObject,
    ObjectsListed,
    Observation,
    Sample,
    Series,
    TargetEvent,
    Unwatched,
)
from virtwatch_agent.seams import Clock, Collector, Deliver
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TARGET_KINDS, TargetRef
from virtwatch_process.backoff import Backoff

logger = logging.getLogger(__name__)

_LONGEST_SLEEP_S = 1.0
_LONGEST_REST_S = 30.0  # while no call is under way
_FIRST_RETRY_S = 0.5
_LAST_RETRY_S = 30.0
_LIST_EVERY_S = 60.0  # for what no event tells
_MOST_STUCK = 8  # calls of one libvirt that hang: each holds one of the daemon's threads as well
_JOIN_S = 1.0
_CLOSE_S = 1.0
_THREADS = 2
_TEST_DRIVER = "TEST"


@dataclass(eq=False, slots=True)
class _Place:
    """One libvirt, connected or not; times are monotonic seconds."""

    address: LibvirtAddress
    calls: CallQueue | None = None
    attempt: object | None = None  # that is under way, or that brought the connection
    opening: bool = False
    open_at: float | None = 0.0  # None: never again, its driver has no such objects
    backoff: Backoff = field(default_factory=lambda: Backoff(first=_FIRST_RETRY_S, cap=_LAST_RETRY_S))
    listing: bool = False
    list_hangs: bool = False  # on a connection that was dropped since
    list_at: float = 0.0
    objects: dict[str, LibvirtObject] = field(default_factory=dict)
    reading: set[str] = field(default_factory=set)
    stuck: dict[str, float] = field(default_factory=dict)


class ObjectCollector(Collector):
    """Deliver one kind of object of some libvirts: what there is, what happens to it, its readings."""

    def __init__(
        self,
        reader: ObjectReader,
        addresses: Iterable[LibvirtAddress],
        clock: Clock,
        *,
        keepalive: Keepalive | None = None,
        call_deadline: float = 3.0,
    ) -> None:
        """`call_deadline` is in seconds: a call that takes longer is stuck."""
        self._reader = reader
        self._places = [_Place(address) for address in addresses]
        self._clock = clock
        self._keepalive = keepalive or Keepalive()
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._pool = CallPool(self._tasks.put, clock, deadline=call_deadline, size=_THREADS)
        self._schedule = Schedule()
        self._deliver: Deliver | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"{reader.source}-collector", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""
        self._deliver = deliver
        if self._places:
            os.environ["LIBVIRT_AUTOSTART"] = "0"  # libvirt would start a daemon of its own where it finds none
            run_event_loop()
            self._thread.start()

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Say how often (seconds) an object is read."""
        self._tasks.put(lambda: self._schedule.plan(target, target.id, intervals, now=self._clock.monotonic()))

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        """Say that an object is read at a random instant of so many seconds."""
        self._tasks.put(lambda: self._schedule.scatter(target, within))

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        """Read an object once more, at an instant."""
        self._tasks.put(lambda: self._schedule.once_more(target, source, at))

    def glance(self, target: TargetRef, bounds: Mapping[str, Sequence[float]]) -> None:
        """Glance at nothing: libvirt is asked for all of it."""

    def launchers(self, pods: frozenset[str]) -> None:
        """Need nothing of them: a launcher's libvirt has no such objects."""

    def stop(self) -> None:
        """End within 2 s, abandoning calls that hang; nothing is delivered afterwards."""
        self._stopping = True
        self._tasks.put(lambda: None)
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
            self._pool.close(_CLOSE_S)

    def _say(self, *observations: Observation) -> None:
        if self._deliver is not None and not self._stopping:
            self._deliver(*observations)

    def _run(self) -> None:
        while not self._stopping:
            self._guarded(self._tick)
            self._guarded(self._next_task())
        for place in self._places:
            self._drop(place)

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Exception:
            logger.exception("collecting failed once and continues; please report this as a defect")

    def _next_task(self) -> Callable[[], None]:
        due = [self._schedule.next_due(), self._pool.next_deadline()]
        due += [place.open_at for place in self._places if place.calls is None and not place.opening]
        due += [place.list_at for place in self._places if place.calls is not None and not self._is_listed(place)]
        now = self._clock.monotonic()
        longest = _LONGEST_REST_S if self._pool.resting else _LONGEST_SLEEP_S
        sleep = min((at - now for at in due if at is not None), default=longest)
        try:
            return self._tasks.get(timeout=min(longest, max(0.0, sleep)))
        except Empty:
            return lambda: None

    def _tick(self) -> None:
        self._pool.expire()
        now = self._clock.monotonic()
        for place in self._places:
            if place.calls is None and not place.opening and place.open_at is not None and place.open_at <= now:
                self._open(place)
            elif place.calls is not None and place.list_at <= now:
                self._list(place)
        for target, _ in self._schedule.due(now):
            self._sample(target)

    def _open(self, place: _Place) -> None:
        place.opening = True
        attempt = place.attempt = object()

        def received(uuid: str, type_: str) -> None:
            at = self._clock.time()
            self._tasks.put(partial(self._received, place, attempt, uuid, type_, at))

        def connect() -> ObjectConnection:
            return ObjectConnection.open_for(
                self._reader,
                place.address,
                self._keepalive,
                received=received,
                closed=lambda: self._tasks.put(partial(self._closed, place, attempt)),
            )

        self._pool.submit(Call(run=connect, done=partial(self._opened, place), failed=partial(self._not_opened, place)))

    def _opened(self, place: _Place, connection: ObjectConnection) -> None:
        place.opening = False
        place.calls = CallQueue(connection, self._pool)
        self._list(place)

    def _not_opened(self, place: _Place, _: Exception) -> None:
        place.opening = False
        place.open_at = self._clock.monotonic() + place.backoff.delay()

    def _closed(self, place: _Place, attempt: object) -> None:
        if place.attempt is attempt and place.calls is not None:
            self._drop(place)
            place.open_at = self._clock.monotonic() + place.backoff.delay()

    def _drop(self, place: _Place) -> None:
        calls, place.calls, place.attempt = place.calls, None, None
        place.listing, place.reading = False, set(place.stuck)
        if calls is not None:
            calls.close()

    def _received(self, place: _Place, attempt: object, uuid: str, type_: str, at: float) -> None:
        if place.attempt is not attempt:
            return
        if type_:
            self._say(TargetEvent(type_, TargetRef(self._reader.kind, uuid), at))
        place.list_at = 0.0

    @staticmethod
    def _is_listed(place: _Place) -> bool:
        return place.listing or place.list_hangs

    def _list(self, place: _Place) -> None:
        calls = place.calls
        if calls is None or self._is_listed(place):
            return
        place.listing = True
        place.list_at = self._clock.monotonic() + _LIST_EVERY_S
        raw = self._raw(calls)

        def ask() -> tuple[LibvirtObject, ...]:
            try:
                return self._reader.list_all(raw, place.address.name)
            finally:
                self._tasks.put(partial(self._list_returned, place))

        calls.submit(
            Call(
                run=ask,
                done=partial(self._listed, place),
                failed=partial(self._not_listed, place),
                overdue=partial(self._list_overdue, place),
            )
        )

    def _not_listed(self, place: _Place, error: Exception) -> None:
        place.listing = False
        if isinstance(error, libvirt.libvirtError) and error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            self._drop(place)
            place.open_at = None
            logger.info("libvirt at %s has no %ss: its driver knows none", place.address.name, self._noun)
            return
        place.list_at = self._clock.monotonic() + place.backoff.delay()

    def _list_overdue(self, place: _Place) -> None:
        """Go on with what is known, on another connection."""
        place.list_hangs = True
        problem = (
            f"libvirt at {place.address.name} does not say which {self._noun}s it has: see whether what one of them "
            "lies on hangs, for example a file server that is gone"
        )
        logger.warning("%s", problem)
        self._say(Unwatched(f"{self._noun}s", place.address.name, self._clock.time(), problem))
        self._drop(place)
        place.open_at = self._clock.monotonic()

    def _list_returned(self, place: _Place) -> None:
        if place.list_hangs:
            place.list_hangs, place.list_at = False, 0.0
            self._say(Unwatched(f"{self._noun}s", place.address.name, self._clock.time()))

    def _listed(self, place: _Place, objects: tuple[LibvirtObject, ...]) -> None:
        place.listing = False
        place.backoff.reset()
        found = {item.target.id: item for item in objects}
        for uuid in place.objects.keys() - found.keys():
            self._schedule.drop(TargetRef(self._reader.kind, uuid))
            self._reader.forget(uuid)
        place.objects = found
        self._say(ObjectsListed(self._reader.kind, place.address.name, self._clock.time(), objects))

    def _sample(self, target: TargetRef) -> None:
        uuid = target.id
        place = next((place for place in self._places if uuid in place.objects), None)
        if place is None or place.calls is None or uuid in place.reading or len(place.stuck) >= _MOST_STUCK:
            return
        place.reading.add(uuid)
        asked_at = self._schedule.was_due(target, self._reader.source)
        place.calls.submit(
            Call(
                run=partial(self._read, place, place.calls, uuid),
                done=partial(self._answered, place, target, asked_at),
                failed=partial(self._failed, place, target),
                overdue=partial(self._overdue, place, target),
            )
        )

    def _read(self, place: _Place, calls: CallQueue, uuid: str) -> tuple[Mapping[Series, float], float, float]:
        connection = calls.connection
        try:
            local = connection.local and connection.driver != _TEST_DRIVER
            values = self._reader.read(connection.raw, uuid, local=local)
            return values, self._clock.time(), self._clock.monotonic()
        finally:
            self._tasks.put(partial(self._returned, place, uuid))

    def _answered(
        self,
        place: _Place,
        target: TargetRef,
        asked_at: float | None,
        answer: tuple[Mapping[Series, float], float, float],
    ) -> None:
        place.reading.discard(target.id)
        values, at, clock = answer
        self._say(Sample(target, self._reader.source, self._reader.source.value, 0.0, at, clock, values, asked_at))

    def _failed(self, place: _Place, target: TargetRef, error: Exception) -> None:
        place.reading.discard(target.id)
        place.list_at = 0.0  # it may be gone
        logger.debug("%s gave no figures: %s", target, error)

    def _overdue(self, place: _Place, target: TargetRef) -> None:
        """Say which object holds the connection up, and continue with the others on another connection."""
        place.stuck[target.id] = self._clock.monotonic()
        known = place.objects.get(target.id)
        name = target.id if known is None else known.name
        problem = (
            f"{self._noun} {name} of libvirt at {place.address.name} does not answer: see whether what it lies on "
            "hangs, for example a file server that is gone"
        )
        logger.warning("%s", problem)
        self._say(Unwatched(target.id, place.address.name, self._clock.time(), problem))
        self._drop(place)
        place.open_at = self._clock.monotonic()

    def _returned(self, place: _Place, uuid: str) -> None:
        if place.stuck.pop(uuid, None) is not None:
            place.reading.discard(uuid)
            self._say(Unwatched(uuid, place.address.name, self._clock.time()))

    @property
    def _noun(self) -> str:
        return TARGET_KINDS[self._reader.kind].noun

    @staticmethod
    def _raw(calls: CallQueue) -> libvirt.virConnect:
        return calls.connection.raw
