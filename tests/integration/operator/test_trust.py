"""What a stolen agent's token can say, and what of that is believed: each attack on a real API server."""

from dataclasses import replace

import pytest

from tests.integration.operator.place import Place, eventually, says
from tests.integration.operator.stand_in import StandIn
from virtwatch_api.alert import Action, AlertKey, AlertState, Reason
from virtwatch_api.nodemonitor import Evidence, Move
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity
from virtwatch_api.targets import Subject, vm_ref
from virtwatch_kube.paths import virtwatch


@pytest.fixture
def two(place: Place) -> tuple[StandIn, StandIn, PolicyKey]:
    """An honest agent with a VM on it, and one whose token somebody has."""
    place.operator()
    key = place.policy()
    honest, thief = place.agent("n1"), place.agent("n2")
    honest.subject = place.vmi("web-1", honest.node)
    for agent in (honest, thief):
        agent.publish()
    return honest, thief, key


def forge(agent: StandIn, policy: PolicyKey, **changes) -> None:
    agent.happen(policy)
    last = replace(agent.journal[-1], **changes)
    if "subject" in changes:
        last = replace(last, alert=replace(last.alert, target=changes["subject"].target))
    agent.journal[-1] = last


def acknowledged(agent: StandIn) -> None:
    agent.publish()
    eventually(agent.settled, what="all to be acknowledged")


def test_a_node_cannot_make_events_about_others(place: Place, two):
    honest, thief, key = two
    system = Subject("dns", vm_ref("0" * 36), thief.node, "kube-system", "dns", "made-up")
    nobodys = PolicyKey(PolicyKind.MONITOR_POLICY, "no-such-policy", "kube-system")
    forge(thief, key, subject=honest.subject)  # another node's VM, in that node's name
    forge(thief, key, subject=replace(honest.subject, node=thief.node))  # and as if it were here
    forge(thief, key, subject=system)
    forge(thief, nobodys, subject=system, evidence=Evidence("you", text="Call +1-555 to get your cluster back"))
    acknowledged(thief)
    assert place.events() == []
    assert place.events("kube-system") == []
    assert says(place.started[-1], f"node {thief.node} reports an alert that it may not speak of")


def test_a_nodes_free_text_reaches_nobody(place: Place, two):
    honest, _, key = two
    forge(honest, key, evidence=Evidence("you", 1.0, 0.5, "Call +1-555 to get your cluster back"))
    acknowledged(honest)
    (one, other) = place.events()
    assert "555" not in one["note"] + other["note"]


def test_a_forged_firing_swallows_no_alert(place: Place, two):
    honest, thief, key = two
    thief.fires(key)
    thief.firing = (replace(thief.firing[0], subject=replace(honest.subject, node=thief.node), since=1_000_000_000.0),)
    thief.publish()
    eventually(lambda: place.client.get(virtwatch("nodemonitors", name=thief.node))["status"]["firing"], what="the lie")
    honest.happen(key)
    acknowledged(honest)
    honest.happen(key, Action.RESOLVED, severity=None)
    acknowledged(honest)
    place.told(honest)
    eventually(lambda: place.status(key).get("activeAlerts") == [], what="a status that shows no alert")


def test_a_forged_handover_is_not_passed_on(place: Place, two):
    honest, thief, key = two
    moved = AlertState(Severity.CRITICAL, 1_000_000_000.0, critical_since=1_000_000_000.0)
    own = place.vmi("mine", thief.node)
    for subject in (replace(honest.subject, node=thief.node), own):
        forge(
            thief,
            key,
            action=Action.HANDED_OVER,
            reason=Reason.MIGRATED,
            subject=subject,
            move=Move(honest.node, moved),
        )
    acknowledged(thief)
    document = place.client.get(virtwatch("nodemonitors", name=honest.node))
    assert not document.get("spec", {}).get("handovers")
    # What ends with it: its own VM's alert, which by its own word is nowhere any more.
    assert {item["regarding"]["name"] for item in place.events()} <= {"mine", key.name}


def test_an_alert_of_a_vm_that_migrates_goes_along(place: Place, two):
    source, target, key = two
    place.move("web-1", source.node, to=target.node)
    source.happen(key)
    acknowledged(source)
    moved = AlertState(Severity.CRITICAL, source.journal[0].since, critical_since=source.journal[0].since)
    forge(source, key, action=Action.HANDED_OVER, reason=Reason.MIGRATED, move=Move(target.node, moved))
    acknowledged(source)
    (held,) = place.client.get(virtwatch("nodemonitors", name=target.node))["spec"]["handovers"]
    assert held["id"] == AlertKey(key, "cpu-starved", source.subject.target).id
    assert len(place.events()) == 2
