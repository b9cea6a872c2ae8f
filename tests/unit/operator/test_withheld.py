import pytest

from tests.unit.operator.builders import AT, transition
from tests.unit.operator.test_events import ORIGIN
from virtwatch_kube.errors import Unavailable
from virtwatch_operator.events.bodies import announcements
from virtwatch_operator.events.recorder import Outcome, Recorder
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
