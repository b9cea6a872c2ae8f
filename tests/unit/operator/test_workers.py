import logging
import threading
import time

import pytest

from virtwatch_kube.errors import Forbidden, NotServed, Unavailable
from virtwatch_operator.workers import Workers
from virtwatch_operator.workqueue import WorkQueue
from virtwatch_process.outages import Outages

DEADLINE = 30


def run(work, *, keys, threads=2):
    queue = WorkQueue("test", retry=lambda failures: 0.01)
    workers = Workers(queue, work, threads=threads, outages=Outages())
    for key in keys:
        queue.add(key)
    workers.start()
    return workers


def test_a_key_that_fails_is_tried_until_it_succeeds_and_said_once(caplog):
    caplog.set_level(logging.INFO)
    tries, succeeded = [], threading.Event()

    def work(key):
        tries.append(key)
        if len(tries) < 5:
            raise Forbidden("PATCH /x: no")
        succeeded.set()

    workers = run(work, keys=["a"])
    assert succeeded.wait(DEADLINE)
    workers.stop(DEADLINE)
    assert [record.getMessage() for record in caplog.records] == [
        "test: a fails and is tried again: Forbidden: PATCH /x: no",
        "test: a succeeds again",
    ]


@pytest.mark.parametrize("absent", [Unavailable("connection refused"), NotServed("PATCH /x: 404", status=404)])
def test_an_absent_api_server_or_kind_is_one_line_not_one_per_key(caplog, absent):
    caplog.set_level(logging.INFO)
    down, seen, all_tried = [True], set(), threading.Event()
    succeeded, all_succeeded = set(), threading.Event()

    def work(key):
        seen.add(key)
        if len(seen) == 20:
            all_tried.set()
        if down[0]:
            raise absent
        succeeded.add(key)
        if len(succeeded) == 20:
            all_succeeded.set()

    # One thread: of two, one may still fail after the other has found that all is well again.
    workers = run(work, keys=range(20), threads=1)
    assert all_tried.wait(DEADLINE)
    down[0] = False
    assert all_succeeded.wait(DEADLINE)
    workers.stop(DEADLINE)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_keys_that_hang_hold_up_no_other():
    hang, good = threading.Event(), threading.Event()
    failed = []

    def work(key):
        if key == "good":
            good.set()
        elif key in failed:
            hang.wait(DEADLINE)
        else:
            failed.append(key)
            raise Forbidden("no")

    queue = WorkQueue("test", retry=lambda failures: 0.0)
    workers = Workers(queue, work, threads=2, outages=Outages())
    for key in ("bad-1", "bad-2", "bad-3"):
        queue.add(key)
    workers.start()
    end = time.monotonic() + DEADLINE
    while queue.figures.failed < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    queue.add("good")
    assert good.wait(DEADLINE)
    assert workers.alive
    hang.set()
    workers.stop(DEADLINE)


def test_a_bug_ends_neither_the_thread_nor_the_key(caplog):
    again = threading.Event()
    tries = []

    def work(key):
        tries.append(key)
        if len(tries) == 1:
            raise ZeroDivisionError
        again.set()

    workers = run(work, keys=["a"], threads=1)
    assert again.wait(DEADLINE)
    workers.stop(DEADLINE)
    assert caplog.records[0].exc_info is not None
