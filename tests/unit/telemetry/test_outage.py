import logging

import pytest

from virtwatch_telemetry.outage import QUIET, Failure, Failures
from virtwatch_telemetry.settings import Signal, read_settings

_REFUSED = Failure("it refuses connections", "check that it runs", retryable=True)
_GONE = Failure("it answered 404 Not Found", "set another path", retryable=False)
_HERE = read_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}).destinations


class _Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return _Clock()


@pytest.fixture
def outages(clock):
    return Failures(clock)


def _lines(caplog):
    return [record.getMessage() for record in caplog.records]


def test_a_lost_backend_is_said_once_however_often_it_fails(outages, caplog):
    for _ in range(100):
        outages.failed(_HERE[Signal.TRACES], _REFUSED)
    assert _lines(caplog) == [
        (
            "Telemetry: http://collector:4318/v1/traces does not take traces: it refuses connections; "
            "check that it runs. What cannot be sent meanwhile is dropped."
        )
    ]


def test_a_backend_that_is_back_is_said_once_with_what_was_lost(outages, clock, caplog):
    outages.failed(_HERE[Signal.TRACES], _REFUSED)
    outages.failed(_HERE[Signal.TRACES], _REFUSED)
    clock.now += 42
    caplog.clear()
    outages.delivered(_HERE[Signal.TRACES])
    outages.delivered(_HERE[Signal.TRACES])
    assert _lines(caplog) == [
        "Telemetry: http://collector:4318/v1/traces takes traces again after 42 s; 2 requests were dropped."
    ]


def test_three_signals_that_fail_alike_at_one_host_are_one_line(outages, caplog):
    for destination in _HERE.values():
        outages.failed(destination, _REFUSED)
    assert len(_lines(caplog)) == 1


def test_signals_that_are_refused_alike_but_for_their_details_are_one_line(outages, caplog):
    for destination in _HERE.values():
        where = f", pointing to {destination.url}"
        outages.failed(destination, Failure("it answered 302 Found", "set the URL", retryable=False, detail=where))
    assert len(_lines(caplog)) == 1
    assert "302 Found, pointing to" in _lines(caplog)[0]


def test_a_signal_that_fails_in_its_own_way_gets_its_own_line(outages, caplog):
    outages.failed(_HERE[Signal.TRACES], _REFUSED)
    outages.failed(_HERE[Signal.METRICS], _GONE)
    assert len(_lines(caplog)) == 2


def test_a_signal_that_still_fails_when_its_neighbour_is_back_is_said_then(outages, caplog):
    outages.failed(_HERE[Signal.TRACES], _REFUSED)
    outages.failed(_HERE[Signal.LOGS], _REFUSED)
    outages.delivered(_HERE[Signal.TRACES])
    caplog.clear()
    outages.failed(_HERE[Signal.LOGS], _REFUSED)
    assert ["/v1/logs" in line for line in _lines(caplog)] == [True]


def test_a_signal_that_is_seldom_sent_heals_with_its_neighbour_that_failed_alike(outages, clock, caplog):
    outages.failed(_HERE[Signal.TRACES], _REFUSED)
    clock.now += 10
    outages.failed(_HERE[Signal.METRICS], _REFUSED)
    clock.now += 10
    caplog.clear()
    outages.delivered(_HERE[Signal.METRICS])
    assert outages.problem == ""
    assert _lines(caplog) == [
        "Telemetry: http://collector:4318/v1/metrics takes metrics again after 20 s; 2 requests were dropped."
    ]


def test_a_signal_that_fails_in_its_own_way_does_not_heal_with_its_neighbour(outages, caplog):
    outages.failed(_HERE[Signal.TRACES], _GONE)
    outages.failed(_HERE[Signal.METRICS], _REFUSED)
    outages.delivered(_HERE[Signal.METRICS])
    assert "404" in outages.problem


def test_a_backend_that_comes_and_goes_does_not_flood_the_log(outages, clock, caplog):
    for _ in range(100):
        outages.failed(_HERE[Signal.TRACES], _REFUSED)
        outages.delivered(_HERE[Signal.TRACES])
        clock.now += QUIET / 100
    assert len(_lines(caplog)) == 2


def test_the_problem_is_a_sentence_while_something_fails_and_empty_after(outages, caplog):
    caplog.set_level(logging.CRITICAL)
    assert outages.problem == ""
    outages.failed(_HERE[Signal.TRACES], _REFUSED)
    outages.failed(_HERE[Signal.TRACES], _GONE)
    assert "404" in outages.problem
    outages.delivered(_HERE[Signal.TRACES])
    assert outages.problem == ""
