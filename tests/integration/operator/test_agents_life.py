"""A node whose agent does not run says so, and its silence is no quiet."""

from tests.integration.operator.place import Place, eventually
from virtwatch_kube.paths import resource, virtwatch


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
