import logging
import threading
from dataclasses import replace

import pytest
from opentelemetry.trace import NoOpTracer

from lab.process import wait_for
from tests.unit.agent.report.statuses import status, transition
from virtwatch_agent.kubernetes.reporter import FIRST_START_S, NodeMonitorReporter
from virtwatch_kube.errors import NotFound, NotServed, Unavailable


class Server:
    """Stand for the API server: keep what was applied, or fail, or hang."""

    def __init__(self):
        self.applied = []
        self.error = None
        self.attempts = 0
        self.open = threading.Event()
        self.open.set()
        self.reporter = None

    def apply(self, path, body, *, manager, force=True):
        self.attempts += 1
        assert self.open.wait(30)
        if self.error is not None:
            raise self.error
        self.applied.append((path, body, manager))
        return body

    @property
    def machines(self):
        return [body["status"]["virtualMachines"] for _, body, _ in self.applied]


@pytest.fixture
def server():
    made = Server()
    yield made
    made.open.set()


class Clock:
    """Go only when the test says so, and count who looks."""

    def __init__(self):
        self.now = 1000.0
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def reporter(server, clock):
    made = server.reporter = NodeMonitorReporter(client=server, node="n1", tracer=NoOpTracer(), clock=clock)
    yield made
    server.open.set()
    made.stop()


def rests(reporter):
    """Return whether the reporter has looked at its clock for all that there was, and waits for more."""
    return bool(reporter._wake._waiters)


def wrote(server, *machines):
    done = lambda: server.machines == list(machines) and rests(server.reporter)  # noqa: E731
    wait_for(done, what=f"writes of {machines}", deadline=30, poll=0.005)


def considered(reporter, clock, one):
    """Publish and return when the reporter has weighed whether to write it."""
    wait_for(lambda: rests(reporter), what="the reporter to rest", deadline=30, poll=0.005)
    looks = clock.looks
    reporter.publish(one)
    weighed = lambda: clock.looks > looks and rests(reporter)  # noqa: E731
    wait_for(weighed, what="the reporter to look at its clock", deadline=30, poll=0.005)


def test_a_status_goes_to_the_nodes_own_nodemonitor_under_one_manager(reporter, server):
    reporter.start()
    reporter.publish(status(transitions=[transition(1)]))
    wrote(server, 1)
    path, body, manager = server.applied[0]
    assert path == "/apis/virtwatch.io/v1alpha1/nodemonitors/n1/status"
    assert (body["apiVersion"], body["kind"], body["metadata"]) == (
        "virtwatch.io/v1alpha1",
        "NodeMonitor",
        {"name": "n1"},
    )
    assert [item["sequence"] for item in body["status"]["transitions"]] == [1]
    assert manager == "virtwatch-agent"


def test_of_a_burst_only_the_newest_is_written(reporter, server, clock):
    for count in range(50):
        reporter.publish(status(virtual_machines=count))
    reporter.start()
    wrote(server, 49)
    for count in range(50, 100):
        reporter.publish(status(virtual_machines=count))
    considered(reporter, clock, status(virtual_machines=99))
    clock.now += 1.0
    reporter.publish(status(virtual_machines=100))
    wrote(server, 49, 100)


def test_the_cost_of_the_agent_alone_is_no_news(reporter, server, clock):
    reporter.start()
    reporter.publish(status(cpu=1.0))
    wrote(server, 1)
    clock.now += 10.0
    considered(reporter, clock, status(cpu=2.0, reported=10.0))
    reporter.publish(status(cpu=3.0, virtual_machines=2))
    wrote(server, 1, 2)


def test_that_a_transition_was_acknowledged_is_no_news_and_delays_no_other(reporter, server, clock):
    first, second = transition(1), transition(2)
    reporter.start()
    reporter.publish(status(transitions=[first]))
    wrote(server, 1)
    clock.now += 1.0
    considered(reporter, clock, replace(status(transitions=[first]), transitions=()))
    reporter.publish(status(transitions=[second]))
    wrote(server, 1, 1)
    assert [[item["sequence"] for item in body["status"]["transitions"]] for _, body, _ in server.applied] == [[1], [2]]


def test_it_is_written_anew_after_some_minutes_with_the_newest_cost(reporter, server, clock):
    reporter.start()
    reporter.publish(status(cpu=1.0))
    wrote(server, 1)
    clock.now += 360.0
    reporter.publish(status(cpu=2.0))
    wrote(server, 1, 1)
    assert server.applied[1][1]["status"]["agent"]["cpuMilliseconds"] == 2000


def test_a_new_nodemonitor_gets_the_status_though_nothing_changed(reporter, server):
    reporter.start()
    reporter.publish(status())
    wrote(server, 1)
    reporter.refresh()
    wrote(server, 1, 1)


def test_publishing_never_waits_for_the_api_server(reporter, server):
    server.open.clear()
    reporter.start()
    reporter.publish(status())
    wait_for(lambda: server.attempts == 1, what="the first write", deadline=30)
    begun = threading.Event()

    def publish():
        for count in range(1000):
            reporter.publish(status(virtual_machines=count))
        begun.set()

    threading.Thread(target=publish, daemon=True).start()
    assert begun.wait(30)


def test_a_failed_write_is_made_good_and_said_once(reporter, server, clock, caplog):
    caplog.set_level(logging.INFO, logger="virtwatch_kube")
    server.error = Unavailable("PATCH: no answer")
    reporter.start()
    reporter.publish(status())
    for attempt in range(1, 6):
        failed = lambda attempt=attempt: server.attempts >= attempt and rests(reporter)  # noqa: E731
        wait_for(failed, what="a further attempt", deadline=30)
        clock.now += 20.0
        reporter.publish(status())
    server.error = None
    clock.now += 20.0
    reporter.publish(status())
    wait_for(lambda: len(caplog.records) == 2, what="the line that it is back", deadline=30)
    lost, back = (record.getMessage() for record in caplog.records)
    assert "NodeMonitor n1 is lost; transitions wait in the journal" in lost
    assert "is back" in back


def test_an_absent_nodemonitor_is_said_with_who_creates_it(reporter, server, clock, caplog):
    server.error = NotFound("PATCH: 404")
    clock.now += FIRST_START_S
    reporter.start()
    reporter.publish(status())
    wait_for(lambda: bool(caplog.records), what="a line in the log", deadline=30)
    assert "see that virtwatch-operator runs" in caplog.text


def test_a_first_start_warns_of_nothing(reporter, server, clock, caplog):
    server.error = NotFound("PATCH: 404")
    reporter.start()
    reporter.publish(status())
    wait_for(lambda: server.attempts > 0, what="a try", deadline=30)
    assert caplog.records == []


def test_a_kind_that_is_missing_is_not_put_down_to_the_operator(reporter, server, caplog):
    server.error = NotServed("PATCH: 404 page not found", status=404)
    reporter.start()
    reporter.publish(status())
    wait_for(lambda: bool(caplog.records), what="a line in the log", deadline=30)
    assert "apply virtwatch's crds/" in caplog.text
    assert "virtwatch-operator" not in caplog.text


def test_a_defect_in_one_status_does_not_end_the_reports(reporter, server, clock, caplog):
    server.error = RuntimeError("a defect")
    reporter.start()
    reporter.publish(status())
    wait_for(lambda: bool(caplog.records), what="a line in the log", deadline=30)
    server.error = None
    clock.now += 20.0
    reporter.publish(status(virtual_machines=3))
    wrote(server, 3)


def test_what_is_not_written_yet_is_written_at_the_end(reporter, server):
    reporter.start()
    reporter.publish(status())
    wrote(server, 1)
    reporter.publish(status(virtual_machines=2))
    reporter.stop()
    assert server.machines == [1, 2]


def test_nothing_is_written_at_the_end_when_nothing_changed(reporter, server):
    reporter.start()
    reporter.publish(status())
    wrote(server, 1)
    reporter.stop()
    assert server.machines == [1]


def test_an_end_waits_two_seconds_at_most_for_a_hung_api_server(reporter, server):
    server.open.clear()
    reporter.start()
    reporter.publish(status())
    wait_for(lambda: server.attempts == 1, what="the first write", deadline=30)
    ended = threading.Event()
    threading.Thread(target=lambda: (reporter.stop(), ended.set()), daemon=True).start()
    assert ended.wait(15)  # the server hangs for twice as long
