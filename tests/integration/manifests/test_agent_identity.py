"""An agent writes the status of the NodeMonitor that its token's node names, and nothing else in the cluster."""

import pytest

from tests.integration.manifests.conftest import AGENT, NAMESPACE, report, wait_until
from tests.policy_cases import good_policy
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.errors import Forbidden, KubeError
from virtwatch_kube.paths import resource, virtwatch

OWN, OTHER = "node-1", "node-2"


def test_it_writes_the_status_of_its_own_node(agent):
    assert report(agent, OWN)["status"]["epoch"] == "e1"


def test_it_cannot_write_the_status_of_another_node_and_is_told_why(agent):
    with pytest.raises(Forbidden, match="this one is on node-1 and tried to write node-2"):
        report(agent, OTHER)


def test_a_token_that_names_no_node_writes_no_status(agent, installed):
    unbound = installed.client(AGENT)
    for node in (OWN, OTHER):
        with pytest.raises(Forbidden, match="must be bound to its Pod"):
            report(unbound, node)


def test_it_cannot_write_a_spec_even_of_its_own_node(agent):
    body = {
        "apiVersion": API_VERSION,
        "kind": "NodeMonitor",
        "metadata": {"name": OWN},
        "spec": {"acknowledged": {"epoch": "e1", "sequence": 9}},
    }
    with pytest.raises(Forbidden, match="cannot patch resource"):
        agent.apply(virtwatch("nodemonitors", name=OWN), body, manager=AGENT)


def test_a_spec_smuggled_into_its_status_is_not_stored(agent, installed):
    body = {
        "apiVersion": API_VERSION,
        "kind": "NodeMonitor",
        "metadata": {"name": OWN, "labels": {"smuggled": "too"}},
        "spec": {"acknowledged": {"epoch": "e1", "sequence": 9}},
        "status": {"epoch": "e1", "sequence": 0},
    }
    agent.apply(virtwatch("nodemonitors", name=OWN, subresource="status"), body, manager=AGENT)
    stored = installed.admin.get(virtwatch("nodemonitors", name=OWN))

    assert "acknowledged" not in stored["spec"]
    assert "smuggled" not in stored["metadata"].get("labels", {})


@pytest.mark.parametrize("node", [OWN, OTHER, "node-3"])
def test_it_can_neither_create_nor_delete_a_nodemonitor(agent, node):
    body = {"apiVersion": API_VERSION, "kind": "NodeMonitor", "metadata": {"name": node}, "spec": {}}
    with pytest.raises(Forbidden, match="cannot create resource"):
        agent.create(virtwatch("nodemonitors"), body)
    with pytest.raises(Forbidden, match="cannot delete resource"):
        agent.delete(virtwatch("nodemonitors", name=node))


@pytest.mark.parametrize(
    ("kind", "plural"), [("MonitorPolicy", "monitorpolicies"), ("ClusterMonitorPolicy", "clustermonitorpolicies")]
)
def test_it_cannot_write_a_policy(agent, kind, plural):
    policy = good_policy(kind)
    with pytest.raises(Forbidden):
        agent.create(virtwatch(plural, namespace=policy["metadata"].get("namespace")), policy)


def test_it_cannot_write_a_thresholdset_or_read_a_secret(agent):
    document = {"apiVersion": API_VERSION, "kind": "ThresholdSet", "metadata": {"name": "mine"}, "spec": {}}
    with pytest.raises(Forbidden):
        agent.create(virtwatch("thresholdsets", namespace=NAMESPACE), document)
    with pytest.raises(Forbidden):
        agent.list(resource("v1", "secrets", namespace=NAMESPACE))


def test_it_reads_what_it_judges_by(agent):
    for path in (
        virtwatch("thresholdsets"),
        virtwatch("nodemonitors"),
        resource("kubevirt.io/v1", "virtualmachineinstances"),
    ):
        assert isinstance(agent.list(path), list)


def test_the_admission_policy_holds_where_rbac_was_too_generous(agent, installed):
    rule = {"apiGroups": ["virtwatch.io"], "resources": ["nodemonitors", "nodemonitors/status"], "verbs": ["*"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "generous"},
        "rules": [rule],
    }
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "generous"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "generous"},
        "subjects": [{"kind": "ServiceAccount", "name": AGENT, "namespace": NAMESPACE}],
    }
    paths = [
        (resource(f"{group}/v1", "clusterroles", name="generous"), role),
        (resource(f"{group}/v1", "clusterrolebindings", name="generous"), binding),
    ]
    for path, body in paths:
        installed.admin.apply(path, body, manager="test")
    new = {"apiVersion": API_VERSION, "kind": "NodeMonitor", "metadata": {"name": "node-3"}, "spec": {}}
    attempts = (
        lambda: agent.create(virtwatch("nodemonitors"), new),
        lambda: agent.delete(virtwatch("nodemonitors", name=OTHER)),
        lambda: agent.delete(virtwatch("nodemonitors")),
        lambda: agent.apply(virtwatch("nodemonitors", name=OTHER), {**new, "metadata": {"name": OTHER}}, manager=AGENT),
    )

    def said(attempt) -> str:
        with pytest.raises(KubeError) as refusal:
            attempt()
        return str(refusal.value)

    try:
        for attempt in attempts:
            wait_until(lambda attempt=attempt: "cannot" not in said(attempt), "the generous role to count")

            assert "An agent writes the NodeMonitor of its own node alone" in said(attempt)
    finally:
        for path, _ in paths:
            installed.admin.delete(path)


@pytest.mark.parametrize(("node", "allowed"), [(OWN, True), (OTHER, False), ("", False)])
def test_it_answers_the_explanations_that_were_sent_to_its_node(agent, installed, node, allowed):
    name = f"asked-{node or 'nobody'}"
    body = {
        "apiVersion": API_VERSION,
        "kind": "Explanation",
        "metadata": {"name": name, "namespace": NAMESPACE, **({"labels": {"virtwatch.io/node": node}} if node else {})},
        "spec": {"target": {"name": "web-1"}},
    }
    path = virtwatch("explanations", namespace=NAMESPACE, name=name, subresource="status")
    installed.admin.create(virtwatch("explanations", namespace=NAMESPACE), body)
    answer = {**body, "metadata": {"name": name, "namespace": NAMESPACE}, "status": {"answeredBy": "Agent"}}
    del answer["spec"]
    if allowed:
        assert agent.apply(path, answer, manager=AGENT)["status"]["answeredBy"] == "Agent"
    else:
        with pytest.raises(Forbidden, match="that were sent to its own node alone"):
            agent.apply(path, answer, manager=AGENT)
