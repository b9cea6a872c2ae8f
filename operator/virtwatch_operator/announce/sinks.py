"""The seam between the loop that decides what is news and the places that news goes to: Events, notifications."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from opentelemetry.context import Context

from virtwatch_api.alert import Action
from virtwatch_api.nodemonitor import Transition
from virtwatch_api.policy import PolicyKey
from virtwatch_operator.workers import Workers
from virtwatch_operator.workqueue import WorkQueue
from virtwatch_process.outages import Outages

# After so many seconds a key goes to the end of the queue, so that a slow one shares the threads with the others.
TURN_S = 0.5
AT_ONCE = 64  # pieces of news that a sink is shown; an agent lists half as many at a time


@dataclass(frozen=True, slots=True)
class Origin:
    """Say where a transition comes from, `epoch` and `sequence` being the node's journal's, and who tells it."""

    node: str
    epoch: str
    policy_uid: str
    instance: str


@dataclass(frozen=True, slots=True)
class News:
    """Hold a transition that people are to hear of; `context` makes a sink's spans children of its span."""

    transition: Transition
    origin: Origin
    context: Context


@dataclass(frozen=True, slots=True)
class Handed:
    """Pair news with what is called, on another thread, once each sink has taken it."""

    news: News
    all_took: Callable[[], None]


class Sink(Protocol):
    """Somewhere that news goes.

    `take` returns once the news is durable there, or never will be. It is called from several threads, in order for
    each policy of a node; the same news may come again, from this process or from the leader after it, and must then
    change nothing. What happened at once on a node waits together, so that a sink can tell it at once.
    """

    @property
    def name(self) -> str:
        """Return one word for logs, spans and metrics."""
        ...

    def take(self, waiting: Sequence[News]) -> int:
        """Take the first of what waits of one policy on one node, or the first few; return how many.

        Raises:
            KubeError: all is to be handed in again.
        """
        ...

    def tick(self) -> None:
        """Do what no news causes; called every few seconds, on one thread.

        Raises:
            KubeError: it is to be done again.
        """
        ...


@dataclass(frozen=True, slots=True)
class LaneKey:
    """Name what is handed to a sink in order: one policy's news of one node."""

    node: str
    policy: PolicyKey

    def __str__(self) -> str:
        return f"{self.policy.kind} {self.policy} on node {self.node}"


@dataclass(frozen=True, slots=True)
class _Waiting:
    news: News
    taken: Callable[[], None]


@dataclass(slots=True, eq=False)
class _Lane:
    """Hold what one sink has still to take, and the threads that hand it over."""

    sink: Sink
    queue: WorkQueue[LaneKey]
    waiting: dict[LaneKey, deque[_Waiting]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, items: Iterable[_Waiting]) -> None:
        keys = []
        with self.lock:
            for item in items:
                keys.append(_lane_of(item.news))
                self.waiting.setdefault(keys[-1], deque()).append(item)
        for key in dict.fromkeys(keys):
            self.queue.add(key)

    def first(self, key: LaneKey) -> Sequence[_Waiting]:
        with self.lock:
            return tuple(itertools.islice(self.waiting.get(key, ()), AT_ONCE))

    def drop(self, key: LaneKey, count: int) -> None:
        with self.lock:
            items = self.waiting[key]
            for _ in range(count):
                items.popleft()
            if not items:
                del self.waiting[key]


class Sinks:
    """Hand news to every sink, each on threads of its own, so that one that hangs delays no other.

    `delayed` is called with a sink's name and the seconds since a transition happened, once the sink has taken it.
    """

    def __init__(
        self, sinks: Iterable[Sink], *, threads: int, outages: Outages, delayed: Callable[[str, float], None]
    ) -> None:
        self._delayed = delayed
        self._lanes = [_Lane(sink, WorkQueue(f"sink {sink.name}")) for sink in sinks]
        self._ticks: dict[str, WorkQueue[str]] = {}
        self._workers: list[Workers[Any]] = []
        for lane in self._lanes:
            self._workers.append(Workers(lane.queue, partial(self._work, lane), threads=threads, outages=outages))
            ticks = self._ticks[lane.sink.name] = WorkQueue(f"upkeep of sink {lane.sink.name}")
            self._workers.append(Workers(ticks, partial(_tick, lane.sink), threads=1, outages=outages))

    @property
    def workers(self) -> Sequence[Workers[Any]]:
        """Return the threads, to be started and stopped with the others."""
        return self._workers

    @property
    def queues(self) -> Sequence[WorkQueue[Any]]:
        """Return the queues, to be measured."""
        return [lane.queue for lane in self._lanes]

    def tick(self) -> None:
        """Have each sink do what no news causes; return at once."""
        for name, queue in self._ticks.items():
            queue.add(name)

    def hand(self, batch: Sequence[Handed]) -> None:
        """Hand news to every sink, what belongs together at once; return without waiting for them."""
        takers = [[lane for lane in self._lanes if _concerns(lane.sink, item.news)] for item in batch]
        countdowns = [_Countdown(len(lanes), item.all_took) for item, lanes in zip(batch, takers, strict=True)]
        for lane in self._lanes:
            all_items = zip(batch, countdowns, takers, strict=True)
            lane.add(_Waiting(item.news, countdown.less) for item, countdown, lanes in all_items if lane in lanes)
        for item, lanes in zip(batch, takers, strict=True):
            if not lanes:
                item.all_took()

    def _work(self, lane: _Lane, key: LaneKey) -> None:
        end = time.monotonic() + TURN_S
        while waiting := lane.first(key):
            if time.monotonic() > end:
                lane.queue.add(key)
                return
            count = lane.sink.take([item.news for item in waiting])
            lane.drop(key, count)
            for item in waiting[:count]:
                self._delayed(lane.sink.name, max(time.time() - item.news.transition.at, 0.0))
                item.taken()


def _concerns(sink: Sink, news: News) -> bool:
    """Return whether a sink is for news: events that are only counted are for the one that counts."""
    return getattr(sink, "counts", False) is (news.transition.action is Action.COUNTED)


def _lane_of(news: News) -> LaneKey:
    return LaneKey(news.origin.node, news.transition.alert.policy)


def _tick(sink: Sink, _: str) -> None:
    sink.tick()


class _Countdown:
    def __init__(self, count: int, zero: Callable[[], None]) -> None:
        self._count = count
        self._zero = zero
        self._lock = threading.Lock()

    def less(self) -> None:
        with self._lock:
            self._count -= 1
            ended = self._count == 0
        if ended:
            self._zero()
