"""Silences on a real API server, as people set them: nobody is told meanwhile, and at the end what still holds."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.operator.channels import make_channel, make_secret, status
from tests.integration.operator.place import Place, eventually
from tests.integration.operator.receivers import Webhook, webhook
from virtwatch_api.alert import Action
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_api.targets import vm_ref
from virtwatch_kube.paths import resource


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as started:
        yield started


def channel(place: Place, hook: Webhook) -> str:
    make_secret(place, "hook", namespace=place.system, url=f"json://127.0.0.1:{hook.port}/x")
    return make_channel(
        place, "hook", namespace=place.system, type="Webhook", urlSecretRef={"name": "hook"}, groupWait="0s"
    )


def silence(place: Place, *arguments: str) -> None:
    command = [sys.executable, "-m", "virtwatch_cli", "silence", *arguments]
    command += ["--kubeconfig", str(place.cluster.kubeconfig)]
    subprocess.run(command, check=True, timeout=60)


def messages(hook: Webhook) -> str:
    return "\n".join(item["title"] + item["message"] for item in hook.messages)


def test_what_is_silenced_is_told_at_the_end_if_it_still_holds(place: Place, hook: Webhook):
    place.operator()
    path = channel(place, hook)
    key = place.cluster_policy(notify=[{"channel": "hook"}])
    agents = [place.agent("n1"), place.agent("n2")]
    for agent in agents:
        agent.subject = type(agent.subject)("builder", vm_ref(f"uuid-{agent.node}"), agent.node)
    silence(place, "node/" + agents[0].node, "1h")
    for agent in agents:
        agent.happen(key)
        agent.publish()
    eventually(lambda: hook.posted, what="the message of the other node")
    eventually(lambda: status(place, path).get("waiting") == 1, what="the silenced one to wait")
    assert agents[0].node not in str(hook.messages)
    silence(place, "node/" + agents[0].node, "--end")
    eventually(lambda: len(hook.posted) == 2, what="the message at the end of the silence")
    assert agents[0].node in str(hook.messages[1])


def test_vm_namespace_and_policy_silence_too_and_what_came_and_went_is_counted(place: Place, hook: Webhook):
    place.operator()
    path = channel(place, hook)
    key = place.cluster_policy(notify=[{"channel": "hook"}])
    other = PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, f"{place.name}-other")
    place._apply_policy(other, place.client.get(place.path(key))["spec"])
    agent = place.agent()
    vms = [place.vmi("web-1", agent.node), place.vmi("web-2", agent.node, namespace=place.other)]
    silences = [("vm/web-1", "-n", place.name), (f"namespace/{place.other}",), (f"clusterpolicy/{other.name}",)]
    for silenced in silences:
        silence(place, silenced[0], "1h", *silenced[1:], "--reason", "moving its disks")
    alerts = [(key, vms[0]), (key, vms[1]), (other, place.vmi("web-3", agent.node))]
    for policy, agent.subject in alerts:
        agent.happen(policy)
        agent.happen(policy, Action.RESOLVED, severity=None)
    agent.publish()
    eventually(agent.hear, what="the acknowledgement")
    outboxes = resource("v1", "configmaps", namespace=place.system)
    eventually(lambda: '"hushed":3' in str(place.client.list(outboxes)), what="what came and went to be counted")
    for policy, agent.subject in alerts:
        agent.happen(policy)
    agent.publish()
    eventually(lambda: status(place, path).get("waiting") == 3, what="what holds to wait")
    assert hook.posted == []
    for silenced in silences:
        silence(place, silenced[0], "--end", *silenced[1:])
    eventually(lambda: all(f"/{vm.name}" in messages(hook) for _, vm in alerts), what="what still holds")
    assert "And 3 that came and went while they were silenced." in messages(hook)


def test_no_tenant_silences_what_is_not_overridable(place: Place, hook: Webhook):
    place.operator()
    path = channel(place, hook)
    firm = place.cluster_policy(notify=[{"channel": "hook"}], overridable=False)
    soft = PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, f"{place.name}-soft")
    place._apply_policy(soft, {**place.client.get(place.path(firm))["spec"], "overridable": True})
    agent = place.agent()
    agent.subject = place.vmi("web-1", agent.node)
    silence(place, "vm/web-1", "1h", "-n", place.name)
    silence(place, f"namespace/{place.name}", "1h")
    for key in (firm, soft):
        agent.happen(key)
    agent.publish()
    eventually(lambda: hook.posted, what="the message of the policy that is not overridable")
    eventually(lambda: status(place, path).get("waiting") == 1, what="the one that is silenced to wait")
    assert len(hook.posted) == 1
    assert f"ClusterMonitorPolicy {firm.name}\n" in messages(hook) + "\n"
    assert soft.name not in messages(hook)
