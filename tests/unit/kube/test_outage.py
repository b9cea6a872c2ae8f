import logging

import pytest

from virtwatch_kube.errors import Forbidden, NotFound, NotServed, NotYetServed, Unavailable
from virtwatch_kube.outage import Outage
from virtwatch_process.outages import TAIL_S, Outages


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="virtwatch_kube")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def outage():
    return Outage("The watch of VMs", consequence="going on with what is known")


def test_an_outage_is_said_once_and_its_end_once(outage, lines):
    for _ in range(100):
        outage.failed(Unavailable("GET /x: no answer"))
    outage.healed()
    outage.healed()
    lost, back = lines()
    assert lost == "The watch of VMs is lost; going on with what is known. GET /x: no answer"
    assert back.startswith("The watch of VMs is back after ")


def test_a_second_outage_is_said_again(outage, lines):
    for _ in range(2):
        outage.failed(Unavailable("no answer"))
        outage.healed()
    assert len(lines()) == 4


def test_nothing_is_said_while_all_is_well(outage, lines):
    outage.healed()
    assert lines() == []


def test_another_reason_is_said_once_it_lasts(outage, lines):
    outage.failed(Unavailable("no answer"))
    outage.failed(Forbidden("not yet allowed"))
    outage.failed(Unavailable("no answer"))
    assert len(lines()) == 1
    for _ in range(10):
        outage.failed(Forbidden("not allowed"))
    assert [line for line in lines() if "not allowed" in line] == lines()[1:]
    assert "RBAC" in lines()[1]


def test_a_kind_that_was_made_a_moment_ago_is_no_outage(outage, lines):
    outage.failed(NotYetServed("storage is (re)initializing"))
    outage.failed(NotYetServed("storage is (re)initializing"))
    outage.healed()
    assert lines() == []


def test_a_kind_that_is_never_served_is_an_outage(outage, lines, monkeypatch):
    monkeypatch.setattr("virtwatch_kube.outage.COMING_S", 0.0)
    outage.failed(NotYetServed("storage is (re)initializing"))
    assert len(lines()) == 1


def test_what_to_do_is_said(outage, lines):
    outage.failed(NotFound("404"))
    outage.healed()
    outage.failed(NotFound("404"), advice="start the operator")
    assert "crds/" in lines()[0]
    assert lines()[2].endswith("(start the operator)")


def test_a_defect_is_called_one(outage, lines):
    outage.failed(KeyError("metadata"))
    assert "KeyError, a defect" in lines()[0]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def parts(clock):
    """Two parts of one process."""
    among = Outages(clock)
    return [Outage(what, consequence="it waits", among=among) for what in ("The watch", "The report")]


@pytest.mark.parametrize("error", [Unavailable("no answer"), NotServed("404 page not found")])
def test_what_several_parts_lose_with_the_api_server_or_its_kinds_is_said_once(parts, lines, error):
    for _ in range(3):
        for part in parts:
            part.failed(error)
    for part in parts:
        part.healed()
    lost, back = lines()
    assert lost.startswith("The watch is lost; ")
    assert back.startswith("The watch is back after ")


def test_what_a_part_fails_at_just_after_the_others_are_back_belongs_to_the_same_outage(parts, lines):
    watch, report = parts
    watch.failed(Unavailable("no answer"))
    watch.healed()
    for _ in range(2):
        report.failed(Unavailable("429 Too Many Requests", status=429))
    report.healed()
    assert len(lines()) == 2


def test_a_part_that_is_lost_again_at_once_says_so(parts, lines):
    for part in parts:
        part.failed(Unavailable("no answer"))
    for part in parts:
        part.healed()
    for part in parts:
        part.failed(Unavailable("no answer"))
    assert [line.split(";")[0] for line in lines() if "lost" in line] == 2 * ["The watch is lost"]


def test_a_part_that_stays_lost_when_the_others_are_back_says_so(parts, lines, clock):
    watch, report = parts
    for part in parts:
        part.failed(NotServed("404 page not found"))
    watch.healed()
    clock.seconds += TAIL_S
    report.failed(NotServed("404 page not found"))
    report.healed()
    assert [line.split(" after ")[0].split(";")[0] for line in lines()] == [
        "The watch is lost",
        "The watch is back",
        "The report is lost",
        "The report is back",
    ]


@pytest.mark.parametrize("error", [Forbidden("may not write"), Unavailable("a webhook failed", status=500)])
def test_what_concerns_one_part_alone_is_said_of_it(parts, lines, error):
    watch, report = parts
    watch.failed(error)
    report.failed(error)
    assert len(lines()) == 2


def test_what_an_api_server_answers_for_a_moment_while_it_starts_is_said_of_no_part(parts, lines):
    for error in (Unavailable("no answer"), Forbidden("not yet"), Unavailable("no answer")):
        for part in parts:
            part.failed(error)
    assert len(lines()) == 1
