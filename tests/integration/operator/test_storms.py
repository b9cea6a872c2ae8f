"""A node's failure on a real API server: one Event on its Node, one on each policy, and one message with a list."""

import pytest

from tests.integration.operator.place import Place, eventually
from tests.integration.operator.stand_in import StandIn
from virtwatch_api.alert import Action
from virtwatch_api.policy import PolicyKey
from virtwatch_api.targets import Subject

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
    about_policy = place.events()
    about_node = [item for item in place.events("default") if item["regarding"]["name"] == agent.node]
    assert sorted(item["regarding"]["name"] for item in about_policy) == sorted(key.name for key in keys)
    assert {item["reason"] for item in (*about_policy, *about_node)} == {"AlertsCritical"}
    assert [item["series"]["count"] for item in about_policy] == [count] * policies
    assert [item["series"]["count"] for item in about_node] == [count * policies]
    described = place.cluster.kubectl("describe", "node", agent.node).stdout
    assert f"Many alerts fire at once on node {agent.node}" in described
    described = place.cluster.kubectl("describe", "mpol", keys[0].name, f"--namespace={place.name}").stdout
    assert f"VM {place.name}/web-0 (cpu-starved)" in described

    for key in keys:
        of_all(agent, key, vms, Action.RESOLVED)
    report(agent)
    ends = [item for item in place.events() if item["reason"] == "AlertsResolved"]
    assert sum(item["series"]["count"] for item in ends) == count * policies


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
