"""What people read: one alert in detail, many as a list, a phone's message short, a channel's own words."""

from dataclasses import replace

import pytest

from tests.unit.operator.builders import AT, PLAIN, TRACEPARENT, VMI, transition
from tests.unit.operator.test_outbox import ROUTE, deliver, over, put
from tests.unit.operator.test_pace import CHANNEL
from virtwatch_api.channel import ChannelType, Wording
from virtwatch_api.policy import Rule, Severity
from virtwatch_api.targets import vm_ref
from virtwatch_operator.notify.message import MAX_LISTED, write
from virtwatch_operator.notify.outbox import Merged, Outbox, take
from virtwatch_operator.notify.pace import worst_first
from virtwatch_operator.notify.rule_words import rule_words


def message(outbox, channel=CHANNEL, *, merged=None, **more):
    counted = replace(outbox, merged=merged or outbox.merged)
    return write(worst_first(outbox.waiting), counted, channel, now=AT + 60, **more)


def many(count, **more):
    outbox = Outbox()
    for number in range(1, count + 1):
        subject = replace(VMI, target=vm_ref(f"u{number}"), name=f"web-{number}")
        outbox = put(outbox, transition(number, subject=subject, **more))
    return outbox


def test_one_alert_says_all_that_a_person_asks():
    said = message(put(Outbox(), transition()), trace_url="https://jaeger.example.com/trace/{trace}")
    assert said.title == "[Critical] cpu-starved: VM shop/web-1"
    assert said.severity is Severity.CRITICAL
    for part in (
        "vm.cpu.delay.ratio (Avg over 300s) is 0.12, above 0.1",
        "Since: 2026-",
        "Where: node n1, namespace shop",
        "Policy: MonitorPolicy shop/web-tier",
        f"https://jaeger.example.com/trace/{TRACEPARENT.split('-')[1]}",
        "virtwatch silence vm/web-1 2h -n shop",
    ):
        assert part in said.body


def test_a_nodes_failure_is_one_message_with_a_list():
    said = message(many(30))
    assert said.title == "[30 critical] cpu-starved for 30 VMs on node n1"
    assert said.body.count("Critical: cpu-starved") == MAX_LISTED
    assert "And 10 more" in said.body


def test_an_end_says_how_long_it_lasted():
    said = message(put(deliver(put(Outbox(), transition())), over()))
    assert said.title == "[Resolved] cpu-starved: VM shop/web-1"
    assert said.severity is None
    assert "Until: 2026-" in said.body


def test_a_plain_vm_is_named_by_its_domain():
    assert "VM builder" in message(put(Outbox(), transition(subject=PLAIN))).title


@pytest.mark.parametrize("type_", [ChannelType.SMS, ChannelType.PHONE])
def test_a_phones_message_is_short(type_):
    said = message(many(30), replace(CHANNEL, type=type_))
    assert len(said.title) + len(said.body) < 320
    assert "And 27 more" in said.body


def test_what_found_no_room_is_counted():
    assert "And 7 more since" in message(many(2), merged=Merged(7, AT)).body


def test_a_channels_own_words_are_filled_in_once():
    wording = Wording("{firing} in {namespace}: {title}", "<b>{alerts}</b> {unknown} {channel}")
    said = message(put(Outbox(), transition(rule="{title}")), replace(CHANNEL, wording=wording))
    assert said.title == "1 in shop: [Critical] {title}: VM shop/web-1"
    assert said.body.endswith("</b> {unknown} oncall")


def test_a_rules_own_words_and_runbook_are_said():
    rule = Rule(
        "cpu-starved",
        None,
        summary="{target} waits for CPU: {value} where {bound} is too much",
        runbook_url="https://wiki.example.com/cpu",
    )
    words = rule_words(rule, transition())
    said = message(take(Outbox(), transition(), ROUTE, id_="1", now=AT, words=words))
    assert "Summary: shop/web-1 waits for CPU: 12 % where 10 % is too much" in said.body
    assert "Runbook: https://wiki.example.com/cpu" in said.body
