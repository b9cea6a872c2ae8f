"""Each sink takes every piece of news, in order for each policy, and one that hangs or fails delays no other."""

import threading
from collections.abc import Iterator

import pytest
from opentelemetry.context import Context

from lab.process import wait_for
from tests.unit.operator.builders import CLUSTER_POLICY, POLICY, transition
from tests.unit.operator.test_events import ORIGIN
from virtwatch_api.policy import PolicyKey
from virtwatch_kube.errors import Unavailable
from virtwatch_operator.announce.sinks import Handed, News, Sinks
from virtwatch_process.outages import Outages

DEADLINE_S = 30


class Stand:
    """A sink that notes what it takes; `open` lets it, `fails` makes its next attempts fail, `refuses` a policy's."""

    def __init__(self, name: str, *, fails: int = 0):
        self.name, self.fails, self.at_once = name, fails, 1
        self.refuses: PolicyKey | None = None
        self.refused = threading.Event()
        self.shown: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.took: list[int] = []
        self.ticked = threading.Event()

    def take(self, waiting):
        self.open.wait(30)
        if self.fails:
            self.fails -= 1
            raise Unavailable("webhook", status=500)
        if waiting[0].transition.alert.policy == self.refuses:
            self.refused.set()
            raise Unavailable("webhook", status=500)
        taken = waiting[: self.at_once]
        self.shown.append(len(waiting))
        self.took += [news.transition.sequence for news in taken]
        return len(taken)

    def tick(self):
        self.open.wait(30)
        self.ticked.set()


@pytest.fixture
def stands() -> Iterator[tuple[Stand, Stand]]:
    made = Stand("a"), Stand("b")
    yield made
    for stand in made:
        stand.open.set()


@pytest.fixture
def sinks(stands) -> Iterator[Sinks]:
    made = Sinks(stands, threads=2, outages=Outages(), delayed=lambda name, seconds: None)
    for workers in made.workers:
        workers.start()
    yield made
    for stand in stands:
        stand.open.set()
    for workers in made.workers:
        workers.stop(5)


def hand(sinks, sequence, *, policy=POLICY) -> threading.Event:
    taken = threading.Event()
    sinks.hand([Handed(News(transition(sequence, policy=policy), ORIGIN, Context()), taken.set)])
    return taken


def test_news_is_taken_once_every_sink_has_it(sinks, stands):
    one, other = stands
    assert hand(sinks, 1).wait(DEADLINE_S)
    assert one.took == other.took == [1]


def test_a_sink_that_hangs_delays_no_other(sinks, stands):
    hung, free = stands
    hung.open.clear()
    sinks.tick()
    taken = [hand(sinks, number) for number in range(1, 30)]
    wait_for(lambda: len(free.took) == 29, what="the other sink to take all", deadline=DEADLINE_S)
    assert free.ticked.wait(DEADLINE_S)
    assert not any(item.is_set() for item in taken)
    hung.open.set()
    assert all(item.wait(DEADLINE_S) for item in taken)


def test_a_policys_news_comes_in_order_though_some_fails(sinks, stands):
    failing, _ = stands
    failing.fails = 2
    taken = [hand(sinks, number) for number in range(1, 10)]
    assert all(item.wait(DEADLINE_S) for item in taken)
    assert failing.took == list(range(1, 10))


def test_one_policys_failure_holds_up_no_other_policy(sinks, stands):
    failing, _ = stands
    failing.refuses = POLICY
    first = hand(sinks, 1)
    assert failing.refused.wait(DEADLINE_S)
    assert hand(sinks, 2, policy=CLUSTER_POLICY).wait(DEADLINE_S)
    failing.refuses = None
    assert first.wait(DEADLINE_S)
    assert failing.took == [2, 1]


def test_what_is_handed_in_at_once_is_shown_at_once(sinks, stands):
    one, other = stands
    one.at_once = 3
    taken = [threading.Event() for _ in range(5)]
    news = [News(transition(number), ORIGIN, Context()) for number in range(1, 6)]
    sinks.hand([Handed(item, event.set) for item, event in zip(news, taken, strict=True)])
    assert all(item.wait(DEADLINE_S) for item in taken)
    assert one.shown == [5, 2]
    assert one.took == other.took == [1, 2, 3, 4, 5]
