"""A node whose agent does not run says so, and its silence is no quiet."""

import time

import pytest

from tests.integration.operator.channels import make_channel, make_secret, status
from tests.integration.operator.place import Place, eventually
from tests.integration.operator.receivers import webhook
from tests.integration.operator.stand_in import StandIn
from virtwatch_kube.paths import resource, virtwatch

HUNG_S = 30.0
PROBED_S = 15.0  # that the kubelet needs to find a hung agent not ready
ALERTS = 12


def pod(place: Place, agent: StandIn) -> dict:
    return place.client.get(resource("v1", "pods", namespace=place.system, name=f"agent-{agent.node}"))


def test_an_agent_that_hangs_is_named_and_its_vms_are_not_called_quiet(place: Place):
    place.operator()
    key = place.policy()
    agent = place.agent()
    agent.subject = place.vmi("web-1", agent.node)
    agent.applies(key, eventually(lambda: place.thresholds(key), what="the ThresholdSet")["spec"]["hash"])
    agent.publish()

    def observed():
        return place.client.get(virtwatch("nodemonitors", name=agent.node))["spec"]["observed"]["agent"]

    eventually(lambda: observed() == "Ready", what="the agent to be seen")
    eventually(lambda: place.condition(key, "Quiet")["status"] == "True", what="the policy to be quiet")

    pod = place.client.get(resource("v1", "pods", namespace=place.system, name=f"agent-{agent.node}"))
    place.set_ready(pod, "False")
    eventually(lambda: observed() == "NotReady", what="the agent to be missed", deadline=15)
    eventually(lambda: place.condition(key, "Quiet")["status"] == "Unknown", what="the policy not to know", deadline=10)
    assert agent.node in place.condition(key, "Quiet")["message"]
    listed = place.cluster.kubectl("get", "nodemonitors", agent.node).stdout
    assert "NotReady" in listed

    place.set_ready(place.client.get(resource("v1", "pods", namespace=place.system, name=f"agent-{agent.node}")))
    eventually(lambda: place.condition(key, "Quiet")["status"] == "True", what="the policy to be quiet again")


def about(place: Place, agent: StandIn, reason: str) -> list[dict]:
    """Return the Events of a reason about an agent's Node and about the policies."""
    found = [item for item in (*place.events(), *place.events("default")) if item["reason"] == reason]
    return [item for item in found if agent.node in item["note"]]


@pytest.mark.timeout(200)
def test_a_silent_node_is_one_event_on_it_one_per_policy_and_one_message(place: Place):
    """Its alerts are unknown: its policies say so, and nobody is told of each VM."""
    place.operator()
    with webhook() as hook:
        make_secret(place, "hook", namespace=place.system, url=f"json://127.0.0.1:{hook.port}/x")
        path = make_channel(
            place, "hook", namespace=place.system, type="Webhook", urlSecretRef={"name": "hook"}, groupWait="3s"
        )
        keys = [place.cluster_policy(notify=[{"channel": "hook"}]), place.policy()]
        agent = place.agent()
        loud, quiet = (
            eventually(lambda key=key: place.thresholds(key), what="its rules")["spec"]["hash"] for key in keys
        )
        agent.applies(keys[1], quiet)
        for number in range(ALERTS):
            agent.subject = place.vmi(f"web-{number}", agent.node)
            agent.fires(keys[0])
        agent.applies(keys[0], loud)
        agent.publish()
        eventually(lambda: place.status(keys[0])["alerts"]["critical"] == ALERTS, what="the alerts in the status")

        place.set_ready(pod(place, agent), "False")
        began = time.monotonic()
        events = eventually(lambda: len(found := about(place, agent, "NodeSilent")) == 3 and found, what="the Events")
        assert time.monotonic() - began <= HUNG_S - PROBED_S
        assert sorted(item["regarding"]["kind"] for item in events) == ["ClusterMonitorPolicy", "MonitorPolicy", "Node"]
        eventually(lambda: hook.posted, what="the message")
        active = place.status(keys[0])["activeAlerts"]
        assert [item.get("unknown") for item in active] == [True] * ALERTS
        assert (
            f"nobody can tell whether they still do: {agent.node} is silent"
            in place.condition(keys[0], "Quiet")["message"]
        )
        assert place.condition(keys[1], "Quiet")["status"] == "Unknown"

        place.set_ready(pod(place, agent))
        eventually(lambda: len(about(place, agent, "NodeReports")) == 3, what="the Events of its return")
        eventually(lambda: status(place, path).get("firing") == 0, what="the end in the channel")
        eventually(lambda: len(hook.posted) == 2, what="the message of the end")
    first, end = hook.messages
    assert first["title"] == f"[Critical] NodeSilent: node {agent.node}"
    assert f"VM {place.name}/web-1 (cpu-starved)" in first["message"]
    assert "and 2 more" in first["message"]
    assert end["title"] == f"[Resolved] NodeSilent: node {agent.node}"
    assert len(hook.posted) == 2
    assert not [item for item in place.events() if item["regarding"]["kind"] == "VirtualMachineInstance"]
