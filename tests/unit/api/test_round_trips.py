import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.api import strategies as draw
from virtwatch_api.catalogue.signals import TargetKind
from virtwatch_api.duration import MAX_LENGTH, format_duration, parse_duration
from virtwatch_api.duration import PATTERN as DURATION
from virtwatch_api.evidence_codec import MAX_TEXT
from virtwatch_api.nodemonitor import Acknowledged, AgentHealth, Counts, NodeMonitor, NodeStatus
from virtwatch_api.nodemonitor_codec import (
    decode_nodemonitor,
    decode_transition,
    encode_acknowledged,
    encode_handover,
    encode_status,
    encode_transition,
    format_time,
)
from virtwatch_api.policy_codec import API_VERSION, timestamp
from virtwatch_api.quantity import PATTERN as QUANTITY
from virtwatch_api.quantity import format_number, parse_number, parse_quantity
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.kind import Scope
from virtwatch_api.rule_kinds.registry import encode_rule, read_rules
from virtwatch_api.target_codec import encode_collection, read_collection
from virtwatch_api.thresholdset import encode_spec, parse_thresholdset


def _through_json(document):
    return json.loads(json.dumps(document))


@given(st.from_regex(QUANTITY, fullmatch=True))
def test_a_quantity_that_is_written_back_is_the_same_number(text):
    number = parse_quantity(text)
    assert parse_number(format_number(number)) == number


@given(draw.seconds(0.0, 604_800.0))
def test_a_duration_that_is_written_back_reads_as_the_same_time(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.from_regex(DURATION, fullmatch=True).filter(lambda text: len(text) <= MAX_LENGTH))
def test_a_duration_is_a_whole_number_of_milliseconds(text):
    seconds = parse_duration(text)
    assert seconds == round(seconds * 1000) / 1000


@given(st.text())
def test_a_text_that_is_no_number_or_duration_is_refused(text):
    for parse in (parse_quantity, parse_duration):
        with suppress(ValueError):
            assert isinstance(parse(text), float)


@given(draw.rules())
def test_rules_that_are_written_back_read_as_the_same_rules(rules):
    problems = []
    documents = _through_json([encode_rule(rule) for rule in rules])
    read = read_rules(Cursor(documents, "rules", problems), Scope(TargetKind.VIRTUAL_MACHINE, compiled=True))
    assert problems == []
    assert read == rules


@given(draw.collections)
def test_a_collection_that_is_written_back_is_the_same(collection):
    problems = []
    read = read_collection(Cursor(_through_json(encode_collection(collection)), "collection", problems))
    assert problems == []
    assert read == collection


@given(draw.threshold_sets())
def test_a_thresholdset_that_is_written_back_is_the_same(thresholds):
    spec = _through_json(encode_spec(thresholds, created=format_time(thresholds.created)))
    assert parse_thresholdset({"apiVersion": API_VERSION, "kind": "ThresholdSet", "spec": spec}) == thresholds


@given(draw.transitions())
def test_a_transition_that_went_through_the_journal_is_the_same(transition):
    assert decode_transition(_through_json(encode_transition(transition))) == transition


@given(
    draw.statuses,
    st.none() | st.builds(Acknowledged, draw.names, st.integers(0, 2**53)),
    st.lists(draw.handovers(), max_size=2).map(tuple),
)
def test_a_report_that_went_through_the_api_server_is_the_same(status, acknowledged, handovers):
    document = {
        "metadata": {"name": "node-1", "uid": "u", "labels": {"zone": "a"}},
        "spec": {
            **({"acknowledged": encode_acknowledged(acknowledged)} if acknowledged else {}),
            "handovers": [encode_handover(item) for item in handovers],
        },
        "status": encode_status(status),
    }
    assert decode_nodemonitor(_through_json(document)) == NodeMonitor(
        node="node-1",
        uid="u",
        status=status,
        acknowledged=acknowledged,
        labels={"zone": "a"},
        handovers=handovers,
    )


@given(draw.times)
def test_a_time_of_whole_microseconds_survives_exactly(seconds):
    assert timestamp(format_time(seconds)) == seconds


@given(st.floats(1.0, 4_102_444_800.0))
def test_any_other_time_is_rounded_to_its_microsecond_once(seconds):
    read = timestamp(format_time(seconds))
    assert abs(read - seconds) <= 0.6e-6
    assert timestamp(format_time(read)) == read


def test_a_nodemonitor_without_an_agent_has_no_status():
    read = decode_nodemonitor({"metadata": {"name": "n", "uid": "u"}, "spec": {}})
    assert (read.status, read.acknowledged, read.unacknowledged) == (None, None, ())


_EMPTY = NodeStatus("e", 0, (), 0, (), Counts(), (), 0, AgentHealth("0.1", 0.0, 0.0, 0.0, 0, 0), ())


@given(draw.transitions(), st.lists(st.integers(1, 20), unique=True), st.integers(0, 20), st.sampled_from(["e", "old"]))
def test_what_is_left_to_take_lies_above_what_is_acknowledged(transition, sequences, acknowledged, epoch):
    entries = tuple(replace(transition, sequence=sequence) for sequence in sorted(sequences))
    monitor = NodeMonitor("n", "u", replace(_EMPTY, transitions=entries), Acknowledged(epoch, acknowledged), {})
    taken = acknowledged if epoch == "e" else 0
    assert [item.sequence for item in monitor.unacknowledged] == sorted(item for item in sequences if item > taken)


@given(draw.transitions())
def test_a_sentence_that_is_too_long_for_the_schema_is_cut(transition):
    talkative = replace(transition, evidence=replace(transition.evidence, text="x" * (MAX_TEXT + 1)))
    assert decode_transition(encode_transition(talkative)).evidence.text == "x" * MAX_TEXT


@pytest.mark.parametrize("field", ["action", "reason", "severity"])
def test_a_word_of_a_newer_version_is_refused_and_not_guessed(field):
    document = {
        "sequence": 1,
        "policy": {"kind": "MonitorPolicy", "namespace": "shop", "name": "web"},
        "rule": "r",
        "action": "Fired",
        "reason": "Breach",
        "severity": "Warning",
        "at": "2026-11-23T10:00:00.000000Z",
        "since": "2026-11-23T10:00:00.000000Z",
        "subject": {"domain": "d", "uuid": "u", "node": "n"},
        "evidence": {"subject": "vm.cpu.utilization"},
    }
    decode_transition(document)
    with pytest.raises(ValueError, match="Snoozed"):
        decode_transition({**document, field: "Snoozed"})


@given(draw.handovers())
def test_a_newer_handover_makes_no_report_unreadable(handover):
    good = encode_handover(handover)
    document = {"metadata": {"name": "n"}, "spec": {"handovers": [{**good, "action": "Snoozed"}, good]}}
    assert decode_nodemonitor(_through_json(document)).handovers == (handover,)


def test_a_report_without_handovers_fits_an_older_schema():
    assert "adopted" not in encode_status(_EMPTY)


@pytest.mark.parametrize("evidence", [{"value": "abc"}, {"bound": ""}, {"band": {"low": "x", "high": "1"}}])
def test_a_figure_that_is_none_makes_no_report_unreadable(evidence):
    status = {"epoch": "e", "firing": [{**_FIRING, "evidence": {"subject": "vm.memory.rss", **evidence}}]}
    monitor = decode_nodemonitor({"metadata": {"name": "n"}, "status": status})

    assert monitor.status is not None
    assert monitor.status.sequence == 0
    assert [item.evidence.subject for item in monitor.firing] == ["vm.memory.rss"]


_FIRING = {
    "policy": {"kind": "MonitorPolicy", "namespace": "shop", "name": "web"},
    "rule": "r",
    "severity": "Warning",
    "since": "2026-11-23T10:00:00.000000Z",
    "subject": {"domain": "d", "uuid": "u", "node": "n"},
}
