import pytest

from tests.unit.operator.builders import AT, transition
from tests.unit.operator.test_events import ORIGIN
from virtwatch_kube.errors import Unavailable
from virtwatch_operator.events.bodies import announcements
from virtwatch_operator.events.recorder import REFUSED_S, Outcome, Recorder
from virtwatch_operator.events.withheld import LIFE_S, TELL_EVERY_S, Withheld


def of(sequence):
    return announcements(transition(sequence), ORIGIN)[0]


def test_the_first_is_told_at_once_and_then_the_count_now_and_then():
    withheld = Withheld(burst=25)
    withheld.add(of(1), at=AT, now=0)
    ((announcement, count),) = withheld.due(now=0)
    withheld.told(announcement.regarding, count, now=0)
    withheld.add(of(2), at=AT + 1, now=1)
    withheld.add(of(3), at=AT + 2, now=2)
    assert withheld.due(now=2) == []
    ((announcement, count),) = withheld.due(now=TELL_EVERY_S)
    assert count == 3
    assert announcement.body["series"]["count"] == 3


def test_a_transition_that_is_tried_again_counts_once():
    withheld = Withheld(burst=25)
    withheld.add(of(1), at=AT, now=0)
    withheld.add(of(1), at=AT, now=1)
    ((_, count),) = withheld.due(now=1)
    assert count == 1


def test_a_count_that_could_not_be_written_stays_due():
    withheld = Withheld(burst=25)
    withheld.add(of(1), at=AT, now=0)
    assert withheld.due(now=0) == withheld.due(now=1) != []


def test_one_event_serves_as_long_as_the_api_server_keeps_it():
    withheld = Withheld(burst=25)
    withheld.add(of(1), at=AT, now=0)
    ((first, count),) = withheld.due(now=0)
    withheld.told(first.regarding, count, now=0)
    withheld.add(of(2), at=AT, now=LIFE_S - 1)
    ((same, _),) = withheld.due(now=LIFE_S - 1)
    withheld.add(of(3), at=AT, now=LIFE_S)
    ((other, count),) = withheld.due(now=LIFE_S)
    assert same.name == first.name
    assert other.name != first.name
    assert count == 1


def test_a_summary_that_cannot_be_written_holds_up_no_other_object():
    refused, written = [], []

    class Api:
        def apply(self, path, body, *, manager):
            if body["regarding"]["kind"] == "VirtualMachineInstance":
                refused.append(body)
                raise Unavailable("webhook", status=500)
            written.append(body["regarding"]["kind"])

    recorder = Recorder(client=Api(), burst=1, count=lambda outcome: None, clock=lambda: 0.0)
    about_vm, about_policy = announcements(transition(), ORIGIN)
    for announcement in (about_vm, about_policy):
        recorder._budget.spend(announcement.regarding, now=0)
        assert recorder.post(announcement, at=AT) is Outcome.WITHHELD
    recorder.tell_withheld(about_policy.regarding)
    assert (refused, written) == ([], ["MonitorPolicy"])
    with pytest.raises(Unavailable):
        recorder.tell_withheld()
    assert len(refused) == 1


class Refusing:
    """An API server whose namespace `shop` fails as a broken webhook makes it, until `works`."""

    def __init__(self):
        self.works, self.attempts, self.created = False, 0, []

    def create(self, path, body):
        self.attempts += 1
        if body["metadata"]["namespace"] == "shop" and not self.works:
            raise Unavailable("failed calling webhook", status=500)
        self.created.append(body)


def test_events_refused_for_a_minute_count_as_withheld():
    api, now = Refusing(), [0.0]
    recorder = Recorder(client=api, burst=25, count=lambda outcome: None, clock=lambda: now[0])
    with pytest.raises(Unavailable):
        recorder.post(of(1), at=AT)
    now[0] = REFUSED_S
    assert [recorder.post(of(number), at=AT) for number in (1, 2, 3)] == [Outcome.GIVEN_UP] * 3
    assert api.attempts == 2
    ((_, count),) = recorder._withheld.due(now=now[0])
    assert count == 3

    api.works = True
    now[0] += 10
    assert recorder.post(of(4), at=AT) is recorder.post(of(5), at=AT) is Outcome.CREATED


def test_an_absent_api_server_withholds_nothing():
    class Absent:
        def create(self, path, body):
            raise Unavailable("no answer")

    now = [0.0]
    recorder = Recorder(client=Absent(), burst=25, count=lambda outcome: None, clock=lambda: now[0])
    for now[0] in (0.0, REFUSED_S, 3600.0):
        with pytest.raises(Unavailable):
            recorder.post(of(1), at=AT)
