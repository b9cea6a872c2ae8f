# Calls on real threads; the clock is the test's, so that only the test decides what is late.
import threading
from queue import SimpleQueue

import pytest

from virtwatch_agent.collect.libvirt.call_pool import Call, CallPool

WAIT = 30.0


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Bench:
    def __init__(self, size: int) -> None:
        self.clock = FakeClock()
        self.posted: SimpleQueue = SimpleQueue()
        self.pool = CallPool(self.posted.put, self.clock, deadline=3.0, size=size)
        self.said: list = []
        self.release = threading.Event()

    def submit(self, run, name="call"):
        self.pool.submit(
            Call(
                run=run,
                done=lambda result: self.said.append((name, result)),
                failed=lambda error: self.said.append((name, str(error))),
                overdue=lambda: self.said.append((name, "overdue")),
            )
        )

    def hang(self, name):
        running = threading.Event()

        def run():
            running.set()
            self.release.wait(WAIT)
            return "at last"

        self.submit(run, name)
        assert running.wait(WAIT)

    def next(self):
        self.posted.get(timeout=WAIT)()


@pytest.fixture
def bench():
    made = Bench(size=1)
    yield made
    made.release.set()
    made.clock.now += 1000
    made.pool.close(WAIT)


def test_a_call_tells_what_it_brought(bench):
    bench.submit(lambda: 42)
    bench.next()
    assert bench.said == [("call", 42)]


def test_a_call_that_fails_tells_why(bench):
    bench.submit(lambda: 1 / 0)
    bench.next()
    assert bench.said == [("call", "division by zero")]


def test_a_call_that_hangs_is_said_once_and_does_not_hold_up_the_next(bench):
    bench.hang("stuck")
    bench.submit(lambda: "well", "next")
    bench.clock.now = 2.9
    bench.pool.expire()
    assert bench.said == []
    bench.clock.now = 3.0
    bench.pool.expire()
    bench.pool.expire()
    bench.next()
    assert bench.said == [("stuck", "overdue"), ("next", "well")]
    assert bench.pool.lost == 1


def test_a_call_that_returns_late_still_tells_what_it_brought(bench):
    bench.hang("stuck")
    bench.clock.now = 3.0
    bench.pool.expire()
    bench.release.set()
    bench.next()
    assert bench.said == [("stuck", "overdue"), ("stuck", "at last")]
    assert bench.pool.lost == 0


def test_calls_beyond_the_pools_size_wait_for_a_thread(bench):
    bench.hang("first")
    bench.submit(lambda: "second", "second")
    assert bench.posted.empty()
    bench.release.set()
    bench.next()
    bench.next()
    assert bench.said == [("first", "at last"), ("second", "second")]


def test_closing_does_not_wait_for_a_call_that_hangs(bench):
    bench.hang("stuck")
    bench.clock.now = 3.0
    bench.pool.expire()
    bench.pool.close(WAIT)
    bench.submit(lambda: "never")
    assert bench.said == [("stuck", "overdue")]
