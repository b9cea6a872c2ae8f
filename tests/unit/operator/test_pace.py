"""When a channel speaks: together, not too often, not at night, again while it lasts, later after a failure."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.unit.operator.builders import AT, transition
from tests.unit.operator.test_outbox import ROUTE, deliver, over, put
from tests.unit.operator.test_storms import evicted, vm
from virtwatch_api.channel import Alertmanager, Channel, ChannelKey, ChannelType, QuietHours, SecretKey, Wording
from virtwatch_api.policy import Severity
from virtwatch_operator.notify.outbox import Outbox, failed, sent
from virtwatch_operator.notify.pace import DRAIN_EVERY_S, MAX_RETRY_S, RESEND_S, due, quiet, retry_delay, unwanted

CHANNEL = Channel(
    key=ChannelKey("shop", "oncall"),
    uid="u",
    generation=1,
    type=ChannelType.EMAIL,
    url=SecretKey("mail", "url"),
    alertmanager=None,
    send_resolved=True,
    group_wait=10.0,
    max_per_hour=2,
    quiet_hours=None,
    wording=Wording(),
)
TO_ALERTMANAGER = replace(
    CHANNEL, type=ChannelType.ALERTMANAGER, url=None, alertmanager=Alertmanager("http://alertmanager:9093")
)
NIGHT = QuietHours(22 * 60, 7 * 60, "UTC", (Severity.CRITICAL,))


def at(hour, minute=0):
    return datetime(2026, 11, 30, hour, minute, tzinfo=UTC).timestamp()


def test_a_first_alert_waits_for_others_and_all_go_in_one_message():
    outbox = put(put(Outbox(), transition()), transition(2, rule="other"), now=AT + 9)
    assert not due(outbox, CHANNEL, now=AT + 9)
    assert len(due(outbox, CHANNEL, now=AT + 10)) == 2


def test_vms_that_a_drain_shuts_down_one_by_one_share_messages():
    channel = replace(CHANNEL, max_per_hour=100)
    outbox, told = Outbox(), []
    for second in range(1200):
        now = AT + second
        if second % 20 == 0 and second < 400:  # twenty VMs, each with its time to shut down
            outbox = put(outbox, evicted(second + 1), now=now)
        if batch := due(outbox, channel, now=now):
            told.append((second, len(batch)))
            outbox = deliver(outbox, now=now)
    assert told == [(10, 1), (310, 15), (610, 4)]
    assert DRAIN_EVERY_S == 300


def test_a_drain_holds_back_nothing_else():
    told = deliver(put(Outbox(), evicted(1)), now=AT)
    waits = put(put(told, evicted(2), now=AT), transition(3, rule="other"), now=AT)
    assert not due(put(told, evicted(2), now=AT), CHANNEL, now=AT + 10)
    assert len(due(waits, CHANNEL, now=AT + 10)) == 2
    elsewhere = put(told, evicted(2, subject=replace(vm(2), node="n2")), now=AT)
    assert due(elsewhere, CHANNEL, now=AT + 10)


def test_a_critical_eviction_waits_for_no_message_about_a_warning():
    channel = replace(CHANNEL, max_per_hour=100)
    told = deliver(put(Outbox(), evicted(1)), now=AT)
    critical = put(told, evicted(2, severity=Severity.CRITICAL), now=AT)
    assert len(due(critical, channel, now=AT + 10)) == 1
    told = deliver(critical, now=AT + 10)
    more = put(told, evicted(3, severity=Severity.CRITICAL), now=AT + 20)
    assert not due(more, channel, now=AT + 309)
    assert due(more, channel, now=AT + 310)


def test_a_repeat_about_an_old_drain_holds_back_no_new_one():
    told = deliver(put(Outbox(), evicted(1)), now=AT + 10)
    batch = due(told, CHANNEL, now=AT + ROUTE.repeat_every + 10)
    repeated = sent(told, batch, told.merged, now=AT + ROUTE.repeat_every + 10, labels={})
    assert batch
    later = put(repeated, evicted(2), now=AT + ROUTE.repeat_every + 20)
    assert due(later, CHANNEL, now=AT + ROUTE.repeat_every + 30)


def test_critical_comes_before_warning_and_before_what_is_over():
    outbox = put(Outbox(), transition(1, rule="w", severity=Severity.WARNING))
    outbox = put(outbox, transition(2, rule="c"))
    outbox = put(put(outbox, transition(3, rule="o")), over(4, rule="o"))
    assert [item.transition.alert.rule for item in due(outbox, CHANNEL, now=AT + 10)] == ["c", "w", "o"]


def test_what_still_fires_is_said_again_after_repeat_every():
    notified = deliver(put(Outbox(), transition()), now=AT)
    assert not due(notified, CHANNEL, now=AT + ROUTE.repeat_every - 1)
    assert due(notified, CHANNEL, now=AT + ROUTE.repeat_every)


def test_the_messages_of_an_hour_are_limited():
    outbox = replace(put(Outbox(), transition()), sent=(AT - 1800, AT - 60))
    assert not due(outbox, CHANNEL, now=AT + 60)
    assert due(outbox, CHANNEL, now=AT + 1801)


def test_quiet_hours_hold_back_what_they_do_not_except():
    channel = replace(CHANNEL, quiet_hours=NIGHT)
    outbox = put(Outbox(), transition(1, rule="w", severity=Severity.WARNING), now=at(23))
    assert not due(outbox, channel, now=at(23, 30))
    assert due(outbox, channel, now=at(23, 30) + 8 * 3600)
    outbox = put(outbox, transition(2, rule="c"), now=at(23))
    assert [item.transition.alert.rule for item in due(outbox, channel, now=at(23, 30))] == ["c"]


@pytest.mark.parametrize(
    ("zone", "hour", "expected"),
    [("UTC", 21, False), ("UTC", 22, True), ("UTC", 6, True), ("UTC", 7, False), ("Europe/Berlin", 21, True)],
)
def test_quiet_hours_cross_midnight_in_their_time_zone(zone, hour, expected):
    assert quiet(replace(NIGHT, time_zone=zone), now=at(hour)) is expected


def test_a_failure_is_tried_again_later_and_later():
    outbox = failed(put(Outbox(), transition()), at=AT + 60)
    assert not due(outbox, CHANNEL, now=AT + 59)
    assert due(outbox, CHANNEL, now=AT + 60)
    delays = [retry_delay(number) for number in range(1, 12)]
    assert delays == sorted(delays)
    assert delays[-1] == MAX_RETRY_S


def test_an_end_is_left_out_where_nobody_wants_it():
    channel = replace(CHANNEL, send_resolved=False)
    notified = put(deliver(put(Outbox(), transition())), over())
    assert not due(notified, channel, now=AT + 60)
    assert len(unwanted(notified, channel)) == 1
    unseen = put(put(Outbox(), transition()), over())
    assert due(unseen, channel, now=AT + 60)


def test_an_alertmanager_hears_at_once_and_again_before_it_forgets():
    outbox = put(Outbox(), transition())
    assert due(outbox, TO_ALERTMANAGER, now=AT)
    notified = sent(outbox, outbox.waiting, outbox.merged, now=AT, labels={})
    assert not due(notified, TO_ALERTMANAGER, now=AT + RESEND_S - 1)
    assert due(notified, TO_ALERTMANAGER, now=AT + RESEND_S)


def test_what_is_silenced_waits_and_what_is_not_is_sent():
    outbox = put(put(Outbox(), transition()), transition(2, rule="other"))
    for channel in (CHANNEL, TO_ALERTMANAGER):
        found = due(outbox, channel, now=AT + 60, silenced=lambda item: item.transition.alert.rule == "other")
        assert [item.transition.alert.rule for item in found] == ["cpu-starved"]
        assert not due(outbox, channel, now=AT + 60, silenced=lambda _: True)


def test_what_an_alertmanager_is_silent_about_makes_it_hear_the_rest_no_oftener():
    outbox = put(put(Outbox(), transition()), transition(2, rule="other"))
    notified = sent(outbox, outbox.waiting, outbox.merged, now=AT, labels={})

    def silenced(item):
        return item.transition.alert.rule == "other"

    again = due(notified, TO_ALERTMANAGER, now=AT + RESEND_S, silenced=silenced)
    assert len(again) == 1
    later = sent(notified, again, notified.merged, now=AT + RESEND_S, labels={})
    assert not due(later, TO_ALERTMANAGER, now=AT + RESEND_S + 2, silenced=silenced)
