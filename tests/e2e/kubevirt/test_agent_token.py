"""The token of a running agent, taken from its pod: it speaks for its own node alone."""

from pathlib import Path
from typing import Any

import pytest

from lab.controlplane.kubeconfig import write_kubeconfig
from tests.e2e.kubevirt.watched import Watched
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Forbidden
from virtwatch_kube.paths import resource, virtwatch

pytestmark = pytest.mark.timeout(900)
OWN, OTHER = "node-1", "node-2"
TOKEN = "run/secrets/kubernetes.io/serviceaccount/token"


@pytest.fixture
def stolen(watched: Watched, tmp_path: Path) -> KubeClient:
    """Connect with the token that the agent of node-1 holds."""
    process = watched.cluster.nodes[OWN].pods_process("virtwatch-agent")
    token = Path("/proc", str(process), "root", TOKEN).read_text()
    control_plane = watched.cluster.control_plane
    file = write_kubeconfig(tmp_path / "stolen", server=control_plane.server, ca=control_plane.pki.ca, token=token)
    return KubeClient.from_environment(str(file))


def rewrite(watched: Watched, client: KubeClient, node: str) -> dict[str, Any]:
    """Write into the status of a NodeMonitor what it says already."""
    body = {
        "apiVersion": API_VERSION,
        "kind": "NodeMonitor",
        "metadata": {"name": node},
        "status": {"epoch": watched.node(node)["epoch"]},
    }
    return client.apply(virtwatch("nodemonitors", name=node, subresource="status"), body, manager="stolen")


def test_it_writes_the_status_of_its_own_node_and_of_no_other(watched: Watched, stolen: KubeClient) -> None:
    assert rewrite(watched, stolen, OWN)["status"]["epoch"] == watched.node(OWN)["epoch"]
    with pytest.raises(Forbidden, match=f"this one is on {OWN} and tried to write {OTHER}"):
        rewrite(watched, stolen, OTHER)


def test_it_makes_and_takes_away_no_node_monitor_and_acknowledges_nothing(watched: Watched, stolen: KubeClient) -> None:
    body = {"apiVersion": API_VERSION, "kind": "NodeMonitor", "metadata": {"name": OTHER}}
    before = stolen.get(virtwatch("nodemonitors", name=OTHER))
    acknowledged = {"epoch": before["status"]["epoch"], "sequence": 0}
    with pytest.raises(Forbidden):
        stolen.create(virtwatch("nodemonitors"), {**body, "metadata": {"name": "node-3"}})
    for node in (OWN, OTHER):
        with pytest.raises(Forbidden):
            stolen.delete(virtwatch("nodemonitors", name=node))
        named = {**body, "metadata": {"name": node}, "spec": {"acknowledged": acknowledged}}
        with pytest.raises(Forbidden):
            stolen.apply(virtwatch("nodemonitors", name=node), named, manager="stolen")
    # The operator makes a spec only once there is something to acknowledge.
    assert stolen.get(virtwatch("nodemonitors", name=OTHER)).get("spec") == before.get("spec")


@pytest.mark.parametrize(
    "path",
    [
        resource("v1", "secrets", namespace="kube-system"),
        resource("v1", "pods"),
        virtwatch("monitorpolicies"),
    ],
)
def test_it_reads_only_what_an_agent_needs(stolen: KubeClient, path: str) -> None:
    with pytest.raises(Forbidden):
        stolen.get(path)
