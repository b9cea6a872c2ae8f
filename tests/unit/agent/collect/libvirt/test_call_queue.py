# Calls of one connection, one at a time; the pool is a list that the test works off.
import pytest

from virtwatch_agent.collect.libvirt.call_pool import Call
from virtwatch_agent.collect.libvirt.call_queue import CallQueue


class Connection:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Pool:
    def __init__(self) -> None:
        self.calls = []

    def submit(self, call) -> None:
        self.calls.append(call)

    def work(self) -> None:
        call = self.calls.pop(0)
        call.done(call.run())


@pytest.fixture
def pool():
    return Pool()


@pytest.fixture
def calls(pool):
    return CallQueue(Connection(), pool)


def submit(calls, name, said):
    call = Call(
        run=lambda: name,
        done=said.append,
        failed=lambda error: said.append(f"{name} failed"),
        overdue=lambda: said.append(f"{name} is late"),
    )
    calls.submit(call)


def test_a_call_waits_for_the_one_before_it(calls, pool):
    said = []
    submit(calls, "first", said)
    submit(calls, "second", said)
    assert len(pool.calls) == 1
    pool.work()
    pool.work()
    assert said == ["first", "second"]


def test_a_call_that_fails_lets_the_next_one_go(calls, pool):
    said = []
    submit(calls, "first", said)
    submit(calls, "second", said)
    pool.calls.pop(0).failed(OSError())
    pool.work()
    assert said == ["first failed", "second"]


def test_the_connection_is_closed_after_the_call_that_runs_and_nothing_comes_back(calls, pool):
    said = []
    submit(calls, "running", said)
    submit(calls, "waiting", said)
    calls.close()
    assert not calls.connection.closed
    pool.calls[0].overdue()
    pool.work()
    pool.work()
    assert calls.connection.closed
    submit(calls, "too late", said)
    assert pool.calls == []
    assert said == []


def test_closing_twice_closes_once(calls, pool):
    calls.close()
    calls.close()
    pool.work()
    assert pool.calls == []
