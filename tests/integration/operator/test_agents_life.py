"""A node whose agent does not run says so, and its silence is no quiet."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lab.process import start
from tests.integration.operator.channels import make_channel, make_secret, status
from tests.integration.operator.place import Place, eventually
from tests.integration.operator.receivers import webhook
from tests.integration.operator.stand_in import StandIn
from tests.soak import times
from virtwatch_api.nodemonitor_codec import format_time
from virtwatch_kube.paths import LEASES, resource, virtwatch

HUNG_S = 30.0
PROBED_S = 15.0  # that the kubelet needs to find a hung agent not ready
ALERTS = 12


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

    place.set_ready(place.pod(agent.node), "False")
    eventually(lambda: observed() == "NotReady", what="the agent to be missed", deadline=HUNG_S - PROBED_S)
    eventually(lambda: place.condition(key, "Quiet")["status"] == "Unknown", what="the policy not to know")
    assert agent.node in place.condition(key, "Quiet")["message"]
    listed = place.cluster.kubectl("get", "nodemonitors", agent.node).stdout
    assert "NotReady" in listed

    place.set_ready(place.pod(agent.node))
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

        place.set_ready(place.pod(agent.node), "False")
        began = time.monotonic()
        events = eventually(lambda: len(found := about(place, agent, "NodeSilent")) == 3 and found, what="the Events")
        assert time.monotonic() - began <= HUNG_S - PROBED_S
        assert sorted(item["regarding"]["kind"] for item in events) == ["ClusterMonitorPolicy", "MonitorPolicy", "Node"]
        eventually(lambda: hook.posted, what="the message")
        eventually(
            lambda: [item.get("unknown") for item in place.status(keys[0])["activeAlerts"]] == [True] * ALERTS,
            what="the alerts to be unknown in the status",
        )
        assert (
            f"nobody can tell whether they still do: {agent.node} is silent"
            in place.condition(keys[0], "Quiet")["message"]
        )
        eventually(lambda: place.condition(keys[1], "Quiet")["status"] == "Unknown", what="the other not to know")

        place.set_ready(place.pod(agent.node))
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


# Kubernetes gives a node 50 s to say that it lives; a sample of the test less.
GRACE_S = times(15, 50)
KNOWN_AFTER_GRACE_S = 40.0


def heartbeat(place: Place, node: str, ended: threading.Event) -> None:
    """Say that a node lives, as its kubelet does, until it dies."""
    path = resource(LEASES, "leases", namespace="kube-node-lease", name=node)
    while not ended.is_set():
        spec = {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": format_time(time.time())}
        body = {"apiVersion": LEASES, "kind": "Lease", "metadata": {"name": node}, "spec": spec}
        place.client.apply(path, body, manager="kubelet")
        ended.wait(2)


@contextmanager
def node_lifecycle(place: Place) -> Iterator[None]:
    """Run Kubernetes' controller of nodes' life, which the other tests' nodes without kubelets would not outlive."""
    command = [
        place.cluster.bin / "kube-controller-manager",
        f"--kubeconfig={place.cluster.kubeconfig}",
        "--controllers=node-lifecycle-controller",
        f"--node-monitor-grace-period={GRACE_S}s",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--secure-port=0",
    ]
    started = start(f"{place.name}-node-lifecycle", command, run_dir=place.cluster.folder.parent)
    try:
        yield
    finally:
        started.kill()


def ready_node(place: Place, node: str) -> None:
    """Say once that a node is ready."""
    path = resource("v1", "nodes", name=node, subresource="status")
    now = format_time(time.time())
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}
    condition |= {"lastHeartbeatTime": now, "lastTransitionTime": now}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "status": {"conditions": [condition]}}
    place.client.apply(path, body, manager="kubelet")


@pytest.mark.soak
@pytest.mark.timeout(240)
def test_a_dead_node_is_told_though_nobody_there_can_say_so(
    place: Place, record_property: Callable[[str, object], None]
):
    """Kubernetes itself finds it: the node's Lease is not renewed, so its pods are called not ready."""
    place.operator()
    key = place.policy()
    agent = place.agent()
    agent.subject = place.vmi("web-1", agent.node)
    agent.applies(key, eventually(lambda: place.thresholds(key), what="the ThresholdSet")["spec"]["hash"])
    agent.publish()
    ready_node(place, agent.node)
    died = threading.Event()
    kubelet = threading.Thread(target=heartbeat, args=(place, agent.node, died), daemon=True)
    kubelet.start()
    with node_lifecycle(place):
        lives = time.monotonic() + 1.4 * GRACE_S  # a node whose heartbeat counts is called ready for longer than that
        eventually(lambda: time.monotonic() > lives, what="the node to live for a while", deadline=2 * GRACE_S)
        assert about(place, agent, "NodeSilent") == []
        died.set()
        kubelet.join()
        dead = time.monotonic()
        eventually(lambda: len(about(place, agent, "NodeSilent")) == 2, what="the Events", deadline=180)
        took = time.monotonic() - dead
    record_property("known_after_s", round(took, 1))
    print(f"known {took:.1f} s after its last sign of life, of which Kubernetes waits {GRACE_S}")
    assert took <= GRACE_S + KNOWN_AFTER_GRACE_S
    assert place.condition(key, "Quiet")["status"] == "Unknown"
