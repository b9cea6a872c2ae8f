"""Guests are asked beside all else: once a minute at most, whatever rules want; one that hangs delays no other."""

import threading
import time

import pytest

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.guest import collector
from virtwatch_agent.collect.guest.collector import GuestCollector
from virtwatch_agent.collect.guest.reader import nothing
from virtwatch_agent.observations import Appeared, Domain, DomainState, Sample, Vanished
from virtwatch_api.catalogue import absences
from virtwatch_api.catalogue.readings import Source

WEB = Domain("u", "web", "pod", "1", DomainState.RUNNING)
USED = ("filesystem.used", "/")
DEADLINE_S = 30.0
HANGS_S = 1.0  # after which a guest counts as silent, where some are


class Inner:
    """Stand in for the collector of VMs."""

    def __init__(self) -> None:
        self.planned = {}

    def start(self, deliver) -> None:
        self.deliver = deliver

    def plan(self, target, intervals) -> None:
        self.planned[target] = intervals

    def stop(self) -> None: ...


class Guests:
    def __init__(self, answer_s: float) -> None:
        self.inner, self.asked = Inner(), []
        self.delivered: list = []
        self._changed = threading.Condition()
        self.held = threading.Event()
        self.held.set()
        self.collector = GuestCollector(self.inner, self._read, time, answer_s=answer_s)
        self.collector.start(self._deliver)

    def _read(self, domain: Domain) -> Found:
        self.asked.append(domain)
        if domain.name.startswith("hangs"):
            self.held.wait()
        return Found({USED: float(len(self.asked))})

    def _deliver(self, *observations) -> None:
        with self._changed:
            self.delivered += observations
            self._changed.notify()

    def samples(self, count: int) -> list[Sample]:
        with self._changed:
            found = lambda: [one for one in self.delivered if isinstance(one, Sample)]  # noqa: E731
            assert self._changed.wait_for(lambda: len(found()) >= count, DEADLINE_S), self.delivered
            return found()


@pytest.fixture
def guests(request):
    """Ask guests; one that a busy machine delays is none that hangs."""
    begun = Guests(getattr(request, "param", DEADLINE_S))
    yield begun
    begun.held.set()
    begun.collector.stop()


def test_a_guest_is_asked_as_often_as_it_may_know_more(guests):
    guests.inner.deliver(Appeared(WEB, 1.0))
    guests.collector.plan(WEB.target, {Source.GUEST: 0.02, Source.KERNEL: 1.0})

    assert {one.values[USED] for one in guests.samples(3)} == {1.0}
    assert guests.asked == [WEB]
    assert guests.inner.planned == {WEB.target: {Source.KERNEL: 1.0}}


def test_one_that_started_anew_is_asked_anew(guests):
    guests.inner.deliver(Appeared(WEB, 1.0))
    guests.collector.plan(WEB.target, {Source.GUEST: 0.02})
    guests.samples(1)
    again = Domain("u", "web", "pod", "2", DomainState.RUNNING)
    guests.inner.deliver(Vanished("u", 2.0, "shutdown"), Appeared(again, 2.0))
    count = len(guests.samples(1))

    assert guests.samples(count + 2)[-1].incarnation == "2"
    assert guests.asked == [WEB, again]


def test_one_that_is_gone_waits_in_no_schedule(guests):
    guests.inner.deliver(Appeared(WEB, 1.0))
    guests.collector.plan(WEB.target, {Source.GUEST: 0.02})
    guests.samples(1)

    guests.inner.deliver(Vanished("u", 2.0, "shutdown"))

    deadline = time.monotonic() + DEADLINE_S
    while guests.collector._schedule.next_due() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("guests", [HANGS_S], indirect=True)
def test_ten_that_hang_delay_none_that_answers(guests):
    guests.held.clear()
    hanging = [Domain(f"h{number}", f"hangs-{number}", "host", "1", DomainState.RUNNING) for number in range(10)]
    for domain in (*hanging, WEB):
        guests.inner.deliver(Appeared(domain, 1.0))
        guests.collector.plan(domain.target, {Source.GUEST: 0.05})

    def answers(domain):
        return [one for one in guests.delivered if isinstance(one, Sample) and one.target == domain.target]

    deadline = time.monotonic() + DEADLINE_S
    while not any(one.values for one in answers(WEB)) or not all(map(answers, hanging)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert {one.unavailable["filesystem.used"] for domain in hanging for one in answers(domain)} == {
        absences.GUEST_SILENT
    }
    assert len(guests.asked) == len(set(guests.asked)), "one that hangs is not asked again until it answers"

    guests.held.set()
    while not all(answers(domain)[-1].values for domain in hanging):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_that_answers_slowly_is_asked_less_often_each_time(guests, monkeypatch):
    monkeypatch.setattr(collector, "_SLOW_S", 0.0)
    guests.inner.deliver(Appeared(WEB, 1.0))
    waits = []
    for _ in range(6):
        guests.collector._answered(WEB, None, time.monotonic(), nothing(absences.GUEST_SILENT))
        waits.append(guests.collector._answers[WEB.uuid].wait)

    assert waits == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]
