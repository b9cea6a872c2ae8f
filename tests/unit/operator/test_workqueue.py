import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.soak import times
from virtwatch_operator.workqueue import MAX_RETRY_S, Figures, WorkQueue, retry_delay


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def queue_of(clock, **options):
    return WorkQueue("test", clock=clock, retry=lambda failures: float(failures), **options)


def test_marks_of_one_key_are_worked_on_once(clock):
    queue = queue_of(clock)
    for key in "abaa":
        queue.add(key)
    assert [queue.take(0), queue.take(0), queue.take(0)] == ["a", "b", None]


def test_a_mark_during_the_work_means_another_turn_but_not_at_the_same_time(clock):
    queue = queue_of(clock)
    queue.add("a")
    assert queue.take(0) == "a"
    queue.add("a")
    assert queue.take(0) is None
    queue.done("a")
    assert queue.take(0) == "a"


def test_a_burst_costs_a_turn_at_its_start_and_one_after_the_rest(clock):
    queue = queue_of(clock, spacing=1.0)
    queue.add("a")
    assert queue.take(0) == "a"
    queue.done("a")
    for _ in range(100):
        queue.add("a")
    assert queue.take(0) is None
    clock.now += 1
    assert queue.take(0) == "a"
    queue.done("a")
    clock.now += 1
    assert queue.take(0) is None
    queue.add("a")
    assert queue.take(0) == "a"


def test_a_failed_key_comes_back_later_each_time_and_holds_up_no_other(clock):
    queue = queue_of(clock)
    queue.add("bad")
    for failures in (1, 2, 3):
        assert queue.take(0) == "bad"
        queue.failed("bad")
        queue.add("good")
        assert queue.take(0) == "good"
        queue.done("good")
        queue.add("bad")  # a mark does not shorten the back-off
        clock.now += failures - 0.1
        assert queue.take(0) is None
        clock.now += 0.1
    assert queue.take(0) == "bad"
    queue.done("bad")
    assert queue.figures == Figures(worked=4, failed=3, waiting=0)


def test_who_does_not_ask_for_suspects_gets_none(clock):
    queue = queue_of(clock)
    queue.add("bad")
    queue.take(0)
    queue.failed("bad")
    clock.now += 5
    queue.add("good")
    assert queue.take(0, suspects=False) == "good"
    assert queue.take(0, suspects=False) is None
    assert queue.take(0) == "bad"


def test_a_key_is_handed_to_a_waiting_thread_and_closing_wakes_it():
    queue = WorkQueue("test")
    taken = []
    thread = threading.Thread(target=lambda: taken.extend((queue.take(30), queue.take(30))))
    thread.start()
    queue.add("a")
    end = time.monotonic() + 10
    while queue.figures.waiting:
        assert time.monotonic() < end
        time.sleep(0.01)
    queue.close()
    thread.join(10)
    assert not thread.is_alive()
    assert taken == ["a", None]


@pytest.mark.parametrize("failures", [1, 2, 5, 50, 5000])
def test_a_retry_is_jittered_and_never_far_away(failures):
    delays = {retry_delay(failures) for _ in range(50)}
    assert len(delays) > 1
    assert all(0 < delay <= MAX_RETRY_S for delay in delays)


class NothingIsForgotten(RuleBasedStateMachine):
    """Whatever happens, a key that was marked after its last turn began is worked on within the longest delay."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.queue = WorkQueue("test", clock=self.clock, retry=lambda failures: min(failures, 4.0), spacing=1.0)
        self.marked, self.working = set(), set()

    @rule(key=st.sampled_from("abc"))
    def mark(self, key):
        self.queue.add(key)
        self.marked.add(key)

    @rule(suspects=st.booleans())
    def take(self, suspects):
        key = self.queue.take(0, suspects=suspects)
        if key is not None:
            assert key in self.marked
            assert key not in self.working
            self.marked.discard(key)
            self.working.add(key)

    @precondition(lambda self: self.working)
    @rule(succeeds=st.booleans())
    def end(self, succeeds):
        key = self.working.pop()
        if succeeds:
            self.queue.done(key)
        else:
            self.queue.failed(key)
            self.marked.add(key)

    @rule(seconds=st.floats(0, 3))
    def pass_time(self, seconds):
        self.clock.now += seconds

    @invariant()
    def what_waits_is_counted(self):
        assert self.queue.figures.waiting == len(self.marked)

    def teardown(self):
        for key in list(self.working):
            self.queue.done(key)
        self.clock.now += 10
        left = set()
        while (key := self.queue.take(0)) is not None:
            left.add(key)
            self.queue.done(key)
        assert left == self.marked


NothingIsForgotten.TestCase.settings = settings(max_examples=times(100, 10_000), stateful_step_count=40, deadline=None)
test_nothing_is_forgotten = NothingIsForgotten.TestCase
