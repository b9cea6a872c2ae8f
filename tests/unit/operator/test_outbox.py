"""A channel's outbox: every alert is told once, whoever hands it in twice, and a full one says how many it merged."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.operator.builders import AT, VMI, transition
from virtwatch_api.alert import Action, AlertKey, Reason
from virtwatch_api.policy import Notify, Severity
from virtwatch_operator.notify.outbox import MAX_ALERTS, Merged, Outbox, failed, hurried, sent, take
from virtwatch_operator.notify.outbox_codec import decode, encode

ROUTE = Notify("oncall", tuple(Severity), 3600.0)
CRITICAL_ALONE = Notify("oncall", (Severity.CRITICAL,), 3600.0)


def put(outbox, item, *, route=ROUTE, now=AT):
    return take(outbox, item, route, id_=f"n1.e1.{item.sequence}", now=now)


def deliver(outbox, *, now=AT + 1):
    return sent(outbox, outbox.waiting, outbox.merged, now=now, labels={})


def over(sequence=2, **more):
    return transition(
        sequence, Action.RESOLVED, reason=Reason.RECOVERED, severity=None, previous=Severity.CRITICAL, **more
    )


def test_an_alert_waits_until_it_was_sent():
    outbox = put(Outbox(), transition())
    assert len(outbox.waiting) == outbox.firing == 1
    notified = deliver(outbox)
    assert (len(notified.waiting), notified.firing, notified.sent) == (0, 1, (AT + 1,))


def test_the_same_transition_again_changes_nothing():
    notified = deliver(put(Outbox(), transition()))
    assert put(notified, transition()) == notified
    assert put(deliver(put(notified, over())), over()).alerts == {}


def test_an_end_is_told_and_then_forgotten():
    outbox = put(deliver(put(Outbox(), transition())), over())
    assert [item.firing for item in outbox.waiting] == [False]
    assert deliver(outbox).alerts == {}


def test_what_fired_and_ended_before_it_was_sent_is_told():
    outbox = put(put(Outbox(), transition(severity=Severity.CRITICAL)), over())
    (entry,) = outbox.waiting
    assert (entry.firing, entry.worst, entry.notified) == (False, Severity.CRITICAL, None)


def test_what_changed_while_it_was_sent_waits_on():
    before = put(Outbox(), transition())
    changed = put(before, over())
    after = sent(changed, before.waiting, Merged(), now=AT + 1, labels={})
    assert [item.firing for item in after.waiting] == [False]


def test_a_severity_that_is_not_wanted_is_not_taken():
    assert put(Outbox(), transition(severity=Severity.WARNING), route=CRITICAL_ALONE).alerts == {}


def test_what_was_told_is_followed_whatever_its_severity():
    notified = deliver(put(Outbox(), transition(), route=CRITICAL_ALONE))
    eased = transition(2, Action.EASED, severity=Severity.WARNING, previous=Severity.CRITICAL)
    assert len(put(notified, eased, route=CRITICAL_ALONE).waiting) == 1


def test_what_was_told_is_ended_though_the_policy_names_the_channel_no_more():
    notified = deliver(put(Outbox(), transition()))
    assert len(put(notified, over(), route=None).waiting) == 1


def test_a_failure_keeps_what_waits():
    outbox = failed(put(Outbox(), transition()), at=AT + 5)
    assert (len(outbox.waiting), outbox.retry.attempts, outbox.retry.at) == (1, 1, AT + 5)
    assert deliver(outbox).retry.attempts == 0


def test_what_failed_is_due_at_once_when_its_cause_is_gone():
    outbox = hurried(failed(put(Outbox(), transition()), at=AT + 900))
    assert (len(outbox.waiting), outbox.retry.attempts, outbox.retry.at) == (1, 1, 0.0)


def test_a_full_outbox_merges_its_oldest_into_a_count():
    outbox = Outbox()
    for number in range(MAX_ALERTS + 3):
        outbox = put(outbox, transition(number + 1, rule=f"r{number}"), now=AT + number)
    assert len(outbox.alerts) == MAX_ALERTS
    assert (outbox.merged.count, outbox.merged.since) == (3, AT)
    assert "r0" not in {item.transition.alert.rule for item in outbox.waiting}
    assert deliver(outbox).merged.count == 0


ACTIONS = st.lists(st.sampled_from(["fire", "ease", "end", "send", "lose", "again"]), max_size=40)


@given(ACTIONS)
def test_the_channel_ends_up_knowing_what_is_so(actions):
    """Whatever comes in between, once all is sent the channel was told the alert's last state."""
    outbox, sequence, last, notified = Outbox(), 0, None, None
    for action in [*actions, "send"]:
        if action in ("fire", "ease", "end"):
            sequence += 1
            severity = {"fire": Severity.CRITICAL, "ease": Severity.WARNING, "end": None}[action]
            last = transition(sequence, severity=severity)
            outbox = put(outbox, last)
        elif action == "again" and last is not None:
            outbox = put(outbox, last)
        elif action == "lose":
            outbox = decode(json.loads(json.dumps(encode(outbox))))
        elif action == "send" and outbox.waiting:
            notified = outbox.waiting[0].transition.severity
            outbox = deliver(outbox)
    assert notified == (last.severity if last is not None else None)
    assert not outbox.waiting


def test_an_outbox_survives_being_written_and_read():
    outbox = put(deliver(put(Outbox(), transition())), transition(2, rule="other"))
    outbox = failed(outbox, at=AT + 3)
    assert decode(json.loads(json.dumps(encode(outbox)))) == outbox
    assert AlertKey(transition().alert.policy, "other", VMI.target).id in outbox.alerts
