import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.operator.builders import AT, CLUSTER_POLICY, DELAY, PLAIN, VMI, transition
from virtwatch_api.alert import Action, Reason
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import Severity
from virtwatch_operator.announce.sinks import Origin
from virtwatch_operator.events.bodies import NOTE_BYTES, announcements, note, withheld

GOLDEN = Path(__file__).with_name("golden")
ORIGIN = Origin(node="n1", epoch="e1", policy_uid="policy-uid", instance="virtwatch-operator-0")
PAUSED = Evidence("vm.io_error", text="vm.io_error (action pause, device vda, reason enospc)")
CASES = {
    "fired_critical": transition(),
    "fired_warning_on_an_event": transition(
        2, reason=Reason.EVENT, severity=Severity.WARNING, rule="paused-on-io-error", evidence=PAUSED
    ),
    "escalated": transition(3, Action.ESCALATED, previous=Severity.WARNING),
    "eased": transition(4, Action.EASED, severity=Severity.WARNING, previous=Severity.CRITICAL),
    "resolved": transition(
        5,
        Action.RESOLVED,
        reason=Reason.RECOVERED,
        severity=None,
        previous=Severity.CRITICAL,
        evidence=Evidence("vm.cpu.delay.ratio", 0.02, 0.1, "vm.cpu.delay.ratio (Avg over 300s) is 0.02, not above 0.1"),
    ),
    "resolved_because_the_policy_went": transition(
        8, Action.RESOLVED, reason=Reason.POLICY_DELETED, severity=None, previous=Severity.WARNING
    ),
    "plain_libvirt_under_a_cluster_policy": transition(6, policy=CLUSTER_POLICY, subject=PLAIN),
    "without_trace_text_and_uid": transition(
        7, traceparent="", subject=replace(VMI, uid=None), evidence=replace(DELAY, text="")
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_people_read_is_as_it_was_reviewed(name):
    origin = replace(ORIGIN, policy_uid="") if name == "without_trace_text_and_uid" else ORIGIN
    bodies = [item.body for item in announcements(CASES[name], origin)]
    path = GOLDEN / f"{name}.json"
    assert json.loads(path.read_text()) == bodies, f"if that is meant, write it to {path.name}"


def test_a_retry_by_another_replica_meets_the_same_names():
    ours = announcements(transition(), ORIGIN)
    theirs = announcements(transition(), replace(ORIGIN, instance="virtwatch-operator-1", policy_uid=""))
    assert [item.name for item in ours] == [item.name for item in theirs]


def test_every_transition_has_names_of_its_own():
    origins = [ORIGIN, replace(ORIGIN, epoch="e2"), replace(ORIGIN, node="n2")]
    transitions = [transition(1), transition(2), transition(1, rule="other"), transition(1, subject=PLAIN)]
    names = [item.name for origin in origins for each in transitions for item in announcements(each, origin)]
    assert len(set(names)) == len(names)


def test_an_event_lives_where_the_api_server_demands_it():
    about_vm, about_policy = announcements(CASES["plain_libvirt_under_a_cluster_policy"], ORIGIN)
    assert about_vm.namespace == about_policy.namespace == "default"
    about_vm, about_policy = announcements(transition(), ORIGIN)
    assert (about_vm.namespace, about_policy.namespace) == ("shop", "shop")


@pytest.mark.parametrize("text", ["x" * 5000, "ü" * 2000, "🔥" * 1000])
def test_a_long_finding_is_cut_so_that_the_trace_stays(text):
    written = note(transition(evidence=replace(DELAY, text=text)))
    assert len(written.encode()) <= NOTE_BYTES
    assert written.endswith("Trace 4bf92f3577b34da6a3ce929d0e0e4736.")
    assert "…" in written


def test_long_names_are_cut_too():
    written = note(transition(subject=replace(PLAIN, label="d" * 1024)))
    assert len(written.encode()) <= NOTE_BYTES


def test_the_summary_of_withheld_events_changes_in_its_count_alone():
    first, _ = announcements(transition(), ORIGIN)
    one = withheld(first, count=1, burst=25, last=AT)
    many = withheld(first, count=40, burst=25, last=AT + 60)
    assert "series" not in one.body  # the API server wants a count of two at least
    assert many.body.pop("series") == {"count": 40, "lastObservedTime": "2026-11-18T11:07:40.250000Z"}
    assert many.body == one.body
    assert one.name == f"{first.name}.withheld"


def test_an_event_names_who_took_what_its_vm_lacks():
    evidence = replace(DELAY, text="vm.cpu.delay.ratio is 40 %, above 10 %", culprit="VM shop/db-1 (61%)")
    assert "above 10 %; the CPU time went to VM shop/db-1 (61%)" in note(transition(evidence=evidence))
