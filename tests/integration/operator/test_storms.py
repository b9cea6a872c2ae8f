"""A node's failure on a real API server: one Event on its Node, one on each policy, and one message with a list."""

from typing import Any

import pytest

from tests.integration.operator.place import Place, eventually
from tests.integration.operator.stand_in import StandIn
from virtwatch_api.alert import Action
from virtwatch_api.policy import PolicyKey
from virtwatch_api.targets import Subject
from virtwatch_operator.events.storm_bodies import AT_LEAST

VMS = 40


def of_all(agent: StandIn, key: PolicyKey, vms: list[Subject], action: Action = Action.FIRED) -> None:
    """Let the same happen to each of the node's VMs."""
    for agent.subject in vms:
        agent.happen(key, action, **({"severity": None} if action is Action.RESOLVED else {}))


def report(agent: StandIn) -> None:
    """Publish what waits, as an agent does, until all is acknowledged."""
    while agent.waiting():
        agent.publish()
        eventually(agent.hear, what="the acknowledgement")


def of_storms(events: list[dict[str, Any]], reason: str, name: str | None = None) -> dict[str, int]:
    """Return how many alerts the Events of storms count, by the object that each is about: one has no second."""
    about = [(item["regarding"]["name"], item["series"]["count"]) for item in events if item["reason"] == reason]
    assert len(about) == len(dict(about))
    return {told: count for told, count in about if name in (None, told)}


def by_themselves(place: Place, reason: str) -> int:
    """Return how many alerts have an Event of their own: an operator that stands still for a moment is shown fewer."""
    about = [item for item in place.events() if item["reason"] == reason]
    alone = sum(item["regarding"]["kind"] == "MonitorPolicy" for item in about)
    assert alone < AT_LEAST
    return alone


# An agent lists 32 transitions at a time.
@pytest.mark.parametrize(("policies", "count"), [(1, VMS), (2, 32)])
def test_a_nodes_failure_is_one_event_on_the_node_and_one_per_policy(place: Place, policies: int, count: int):
    place.operator()
    keys = [place.policy(name=f"p{number}") for number in range(policies)]
    agent = place.agent()
    vms = [place.vmi(f"web-{number}", agent.node) for number in range(count)]
    for key in keys:
        of_all(agent, key, vms)
    report(agent)
    about_policy = of_storms(place.events(), "AlertsCritical")
    about_node = of_storms(place.events("default"), "AlertsCritical", agent.node)
    alone = by_themselves(place, "AlertCritical")
    assert sorted(about_policy) == sorted(key.name for key in keys)
    assert sum(about_policy.values()) + alone == count * policies
    assert [*about_node.values()] == [count * policies - alone]
    described = place.cluster.kubectl("describe", "node", agent.node).stdout
    assert f"Many alerts fire at once on node {agent.node}" in described
    described = place.cluster.kubectl("describe", "mpol", keys[0].name, f"--namespace={place.name}").stdout
    assert f"VM {place.name}/web-0 (cpu-starved)" in described

    for key in keys:
        of_all(agent, key, vms, Action.RESOLVED)
    report(agent)
    ends = of_storms(place.events(), "AlertsResolved")
    assert sum(ends.values()) + by_themselves(place, "AlertResolved") == count * policies


def test_a_new_leader_goes_on_with_a_storm_and_names_nothing_twice(place: Place):
    first = place.operator()
    key = place.policy()
    agent = place.agent()
    of_all(agent, key, [place.vmi(f"web-{number}", agent.node) for number in range(VMS)])
    agent.publish()
    eventually(place.events, what="the storm's Event")
    first.kill()
    place.operator()
    report(agent)
    (storm,) = place.events()
    assert storm["series"]["count"] == VMS
    assert storm["metadata"]["annotations"]["virtwatch.io/through"] == str(VMS)
