from dataclasses import replace

import pytest

from tests.unit.operator.builders import AT, PLAIN, transition
from tests.unit.operator.test_events import ORIGIN
from virtwatch_api.alert import Action
from virtwatch_api.policy import Severity
from virtwatch_api.targets import vm_ref
from virtwatch_kube.errors import Unavailable
from virtwatch_operator.events.bodies import announcements
from virtwatch_operator.events.promises import FIRST_S
from virtwatch_operator.events.recorder import REFUSED_S, Outcome, Recorder
from virtwatch_operator.events.withheld import ANNOUNCE_EVERY_S, LIFE_S, Withheld


def of(sequence):
    return announcements(transition(sequence), ORIGIN)[0]


def test_the_first_is_announced_at_once_and_then_the_count_now_and_then():
    withheld = Withheld(burst=25)
    withheld.add(of(1), at=AT, now=0)
    ((announcement, count),) = withheld.due(now=0)
    withheld.announced(announcement.budget, count, now=0)
    withheld.add(of(2), at=AT + 1, now=1)
    withheld.add(of(3), at=AT + 2, now=2)
    assert withheld.due(now=2) == []
    ((announcement, count),) = withheld.due(now=ANNOUNCE_EVERY_S)
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
    withheld.announced(first.budget, count, now=0)
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
    about_vm, about_policy = announcements(transition(severity=Severity.WARNING), ORIGIN)
    for announcement in (about_vm, about_policy):
        recorder._budget.spend(announcement.budget, now=0)
        assert recorder.post(announcement, at=AT) is Outcome.WITHHELD
    recorder.announce_withheld(about_policy.budget)
    assert (refused, written) == ([], ["MonitorPolicy"])
    with pytest.raises(Unavailable):
        recorder.announce_withheld()
    assert len(refused) == 1


class Refusing:
    """An API server whose namespace `shop` fails as a broken webhook makes it, until `works`."""

    def __init__(self, *, works=False):
        self.works, self.attempts, self.created = works, 0, []

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


def changes(recorder, *severities, sequence=1):
    """Post Events about the target for an alert that takes on these severities; return what became of them."""
    found = []
    for number, severity in enumerate(severities, sequence):
        action = Action.FIRED if severity is not None else Action.RESOLVED
        announcement, _ = announcements(transition(number, action, severity=severity), ORIGIN)
        found.append(recorder.post(announcement, at=AT))
    return found


def full(burst=1):
    """Return a recorder whose alert has used up its budget, and its clock."""
    now = [0.0]
    recorder = Recorder(client=Refusing(works=True), burst=burst, count=lambda outcome: None, clock=lambda: now[0])
    recorder._budget.spend(transition().alert.id, now=0)
    return recorder, now


def test_a_first_critical_and_the_end_of_what_was_told_are_never_withheld():
    recorder, now = full()
    warning, critical, end = Severity.WARNING, Severity.CRITICAL, None
    assert changes(recorder, warning, end) == [Outcome.WITHHELD, Outcome.WITHHELD]
    assert changes(recorder, critical, end, sequence=3) == [Outcome.CREATED, Outcome.CREATED]
    assert changes(recorder, critical, end, sequence=5) == [Outcome.WITHHELD, Outcome.WITHHELD]
    now[0] = FIRST_S
    recorder._budget.spend(transition().alert.id, now=now[0])
    assert changes(recorder, critical, sequence=7) == [Outcome.CREATED]


def test_one_vms_flapping_withholds_nothing_of_another_on_its_node():
    recorder, _ = full()
    flapping = [announcements(transition(number, subject=PLAIN), ORIGIN)[0] for number in range(1, 30)]
    assert [recorder.post(item, at=AT) for item in flapping].count(Outcome.WITHHELD) > 20
    other = replace(PLAIN, target=vm_ref("other"), label="other")
    assert recorder.post(announcements(transition(30, subject=other), ORIGIN)[0], at=AT) is Outcome.CREATED
