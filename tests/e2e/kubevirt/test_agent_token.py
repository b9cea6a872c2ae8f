"""The token of a running agent, taken from its pod: it speaks for its own node alone."""

from pathlib import Path

import pytest

from lab.controlplane.kubeconfig import write_kubeconfig
from tests.e2e.kubevirt.watched import Watched
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Forbidden
from virtwatch_kube.paths import resource, virtwatch

pytestmark = pytest.mark.timeout(900)
OWN, OTHER = "node-1", "node-2"
TOKEN = "run/secrets/kubernetes.io/serviceaccount/token"


@pytest.fixture
def stolen(watched: Watched, tmp_path: Path) -> Path:
    """Write a kubeconfig with the token that the agent of node-1 holds."""
    process = watched.cluster.nodes[OWN].pods_process("virtwatch-agent")
    token = Path("/proc", str(process), "root", TOKEN).read_text()
    control_plane = watched.cluster.control_plane
    return write_kubeconfig(tmp_path / "stolen", server=control_plane.server, ca=control_plane.pki.ca, token=token)


def patch(watched: Watched, kubeconfig: Path, node: str) -> tuple[int, str]:
    """Ask the server whether a NodeMonitor's status could be written; nothing is."""
    said = watched.kubectl(
        f"--kubeconfig={kubeconfig}",
        *("patch", "nodemonitor", node, "--subresource=status", "--type=merge", "--dry-run=server"),
        '--patch={"status":{"virtualMachines":99}}',
        check=False,
    )
    return said.returncode, said.stderr


def test_it_writes_the_status_of_its_own_node_and_of_no_other(watched: Watched, stolen: Path) -> None:
    assert patch(watched, stolen, OWN) == (0, "")
    code, said = patch(watched, stolen, OTHER)

    assert code != 0
    assert f"this one is on {OWN} and tried to write {OTHER}" in said


@pytest.mark.parametrize(
    "path",
    [
        resource("v1", "secrets", namespace="kube-system"),
        resource("v1", "pods"),
        virtwatch("monitorpolicies"),
    ],
)
def test_it_reads_only_what_an_agent_needs(stolen: Path, path: str) -> None:
    with pytest.raises(Forbidden):
        KubeClient.from_environment(str(stolen)).get(path)
