"""An alert goes along with its VM to another node: what the operator makes of it on a real API server."""

import json
import random
from dataclasses import replace

import pytest

from tests.integration.operator.place import Place, eventually, says
from tests.integration.operator.stand_in import StandIn
from tests.soak import times
from virtwatch_api.alert import Action, AlertState, Reason
from virtwatch_api.nodemonitor import Adopted, Move, Transition
from virtwatch_api.policy import PolicyKey, Severity
from virtwatch_kube.paths import virtwatch

MOVES = times(6, 300)


def leave(agent: StandIn, key: PolicyKey, *, to: str) -> Transition:
    """Let the VM of an agent with a firing alert migrate to another node."""
    moved = agent.happen(key, Action.HANDED_OVER)
    state = AlertState(Severity.CRITICAL, moved.since, critical_since=moved.since)
    agent.journal[-1] = moved = replace(
        moved, reason=Reason.MIGRATED, previous=Severity.CRITICAL, move=Move(to, state, moved.traceparent)
    )
    agent.firing = ()
    agent.publish()
    return moved


def handovers(place: Place, agent: StandIn) -> list[dict]:
    document = place.client.get(virtwatch("nodemonitors", name=agent.node))
    return document.get("spec", {}).get("handovers") or []


def take(place: Place, agent: StandIn, key: PolicyKey) -> None:
    """Do as an agent does: go on with what came, and say so; forget what the operator holds no more."""
    held = handovers(place, agent)
    known = {item.handover: item for item in agent.adopted}
    ids = [f"{item['epoch']}.{item['sequence']}" for item in held]
    if any(name not in known for name in ids):
        agent.firing = ()
        agent.fires(key)
    agent.adopted = tuple(known.get(name, Adopted(name, len(agent.journal))) for name in ids)
    agent.publish()


def fire(place: Place) -> tuple[PolicyKey, StandIn, StandIn]:
    """Let an alert fire on one of two nodes; return its policy, that node and the other one."""
    key = place.policy()
    source, target = place.agent("n1"), place.agent("n2")
    target.publish()
    source.happen(key)
    source.fires(key)
    source.publish()
    eventually(source.hear, what="the acknowledgement of the alert")
    return key, source, target


def reasons(place: Place) -> list[str]:
    return sorted({item["reason"] for item in place.events()})


def test_an_alert_goes_on_on_the_other_node_and_neither_ends_nor_begins(place: Place):
    place.operator()
    key, source, target = fire(place)

    eventually(lambda: place.condition(key, "Quiet")["status"] == "False", what="the policy to be loud")
    quiet = place.condition(key, "Quiet")

    moved = leave(source, key, to=target.node)
    eventually(source.hear, what="the acknowledgement of the handover")

    (held,) = handovers(place, target)
    assert held["id"] == moved.alert.id
    eventually(lambda: place.status(key)["alerts"]["critical"] == 1, what="the alert on its way to be counted")

    take(place, target, key)
    eventually(lambda: handovers(place, target) == [], what="the handover to be held no more")
    eventually(
        lambda: [item["node"] for item in place.status(key)["activeAlerts"]] == [target.node], what="the new node"
    )
    assert place.condition(key, "Quiet")["lastTransitionTime"] == quiet["lastTransitionTime"]
    assert reasons(place) == ["AlertCritical"]
    assert len(place.events()) == 2


def test_what_the_other_node_found_before_the_alert_came_is_not_said_again(place: Place):
    place.operator()
    key = place.policy()
    source, target = place.agent("n1"), place.agent("n2")
    source.happen(key)
    source.fires(key)
    source.publish()
    eventually(source.hear, what="the acknowledgement of the alert")

    target.publish()

    leave(source, key, to=target.node)
    target.happen(key)
    target.fires(key)
    target.publish()
    eventually(source.hear, what="the acknowledgement of the handover")
    eventually(target.hear, what="the acknowledgement of what the other node found")

    assert len(place.events()) == 2


def test_where_no_agent_goes_on_the_alert_ends_and_says_why(place: Place):
    place.operator()
    key = place.policy()
    source = place.agent("n1")
    source.happen(key)
    source.publish()
    eventually(source.hear, what="the acknowledgement of the alert")

    leave(source, key, to="a-node-without-virtwatch")
    eventually(source.hear, what="the acknowledgement of the handover")

    (ended, _) = [item for item in place.events() if item["reason"] == "AlertResolved"]
    assert "the VM moved to a node with no agent that could continue the alert" in ended["note"]


def test_a_leader_that_began_after_the_vm_had_moved_hands_over(place: Place):
    first = place.operator()
    key = place.policy()
    source, target, stranger = place.agent("n1"), place.agent("n2"), place.agent("n3")
    source.subject = replace(place.vmi("web-1", source.node), node=source.node)
    target.subject, stranger.subject = (replace(source.subject, node=agent.node) for agent in (target, stranger))
    for agent in (target, stranger):
        agent.publish()
    source.happen(key)
    source.fires(key)
    source.publish()
    eventually(source.hear, what="the acknowledgement of the alert")
    first.kill()

    place.moved("web-1", source.node, to=target.node)
    moved = leave(source, key, to=target.node)
    leave(stranger, key, to=target.node)
    second = place.operator()
    for agent in (source, stranger):
        eventually(agent.hear, what="the acknowledgement of the handover")

    assert [(item["epoch"], item["sequence"]) for item in handovers(place, target)] == [(source.epoch, moved.sequence)]
    assert says(second, f"node {stranger.node} reports an alert that it may not speak of")
    assert not says(second, f"node {source.node} reports")
    assert reasons(place) == ["AlertCritical"]
    eventually(
        lambda: [item["node"] for item in place.status(key).get("activeAlerts", [])] == [target.node],
        what="the alert on its way to be counted",
    )


def test_an_alert_waits_for_an_agent_that_is_not_ready_just_now(place: Place):
    place.operator()
    key, source, target = fire(place)

    place.set_ready(place.pod(target.node), "False")
    path = virtwatch("nodemonitors", name=target.node)
    eventually(lambda: place.client.get(path)["spec"]["observed"]["agent"] == "NotReady", what="the agent to be missed")
    leave(source, key, to=target.node)
    eventually(source.hear, what="the acknowledgement of the handover")
    assert len(handovers(place, target)) == 1
    eventually(
        lambda: (
            [(item["node"], item.get("unknown")) for item in place.status(key)["activeAlerts"]] == [(target.node, True)]
        ),
        what="an alert of which nobody can tell whether it still fires",
    )

    place.set_ready(place.pod(target.node))
    take(place, target, key)
    eventually(lambda: handovers(place, target) == [], what="the handover to be held no more")
    eventually(lambda: "unknown" not in place.status(key)["activeAlerts"][0], what="the alert to be known again")
    assert [item for item in reasons(place) if item.startswith("Alert")] == ["AlertCritical"]


@pytest.mark.soak
def test_an_alert_that_moves_back_and_forth_under_an_operator_that_is_killed_is_told_once(place: Place):
    random.seed(4)
    operator = place.operator()
    key = place.policy()
    here, there = place.agent("n1"), place.agent("n2")
    for agent in (here, there):
        agent.publish()
    here.happen(key)
    here.fires(key)
    here.publish()
    eventually(here.hear, what="the acknowledgement of the alert")

    for _ in range(MOVES):
        moved = leave(here, key, to=there.node)
        if random.random() < 0.5:
            operator.kill()
            operator = place.operator()
        arrived = f"{here.epoch}.{moved.sequence}"

        def taken(agent: StandIn = there, name: str = arrived) -> bool:
            take(place, agent, key)
            return name in [item.handover for item in agent.adopted]

        eventually(taken, what=f"handover {arrived} to arrive")
        eventually(lambda agent=here: agent.hear() or not agent.waiting(), what="the acknowledgement")
        here, there = there, here

    eventually(lambda: handovers(place, here) == [], what="nothing to be held any more")
    assert len(place.events()) == 2
    assert reasons(place) == ["AlertCritical"]


def test_what_a_rule_has_learned_goes_along_and_nobody_is_told(place: Place):
    place.operator()
    key = place.policy()
    source, target = place.agent("n1"), place.agent("n2")
    target.publish()
    learned = {"learned": {"version": 1, "begun": 1.5, "series": [["vm.memory.rss", "", {"arrays": ["A" * 12_000]}]]}}
    for number in range(40):
        moved = source.happen(key, Action.HANDED_OVER, severity=None)
        source.journal[-1] = replace(
            moved,
            alert=replace(moved.alert, device=f"learned.{number}"),
            reason=Reason.MIGRATED,
            move=Move(target.node, AlertState(), memory=learned),
        )
    while source.waiting():
        source.publish()
        eventually(source.hear, what="the acknowledgement of what was learned")

    held = handovers(place, target)
    assert json.loads(held[0]["move"]["memory"]) == learned
    assert 20 < len(held) < 40, "what waits for one node is bounded"
    assert place.events() == []
