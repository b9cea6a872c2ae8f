"""virtwatch installed by kubectl apply -k on a real kubelet's node, watching a plain host's libvirtd."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.guests.host import HostLibvirt
from lab.node.cluster import Cluster
from lab.node.node import Node
from lab.node.virtwatch import NAMESPACE, install, remove, wait_ready
from lab.process import wait_for
from lab.rundir import CHECKOUT, RunDir

POLICY = CHECKOUT / "manifests" / "examples" / "cluster-defaults.yaml"
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def installed(cluster: Cluster, run: RunDir) -> Iterator[Node]:
    """Install virtwatch on a node whose libvirtd has one VM."""
    host = HostLibvirt(run)
    host.start(linux=False)
    host.add("plain-1", linux=False)
    node = cluster.add_node("libvirt-node", mounts={"/run/libvirt": host.socket.parent})
    install(cluster, otlp_port=None)
    yield node
    remove(cluster)
    node.stop()
    cluster.control_plane.kubectl("delete", "node", node.name)
    host.stop()


def _status(cluster: Cluster, node: Node) -> dict[str, Any]:
    said = cluster.control_plane.kubectl("get", "nodemonitor", node.name, "-o", "json", check=False)
    return dict(json.loads(said.stdout).get("status", {})) if said.returncode == 0 else {}


def _policies(status: dict[str, Any]) -> list[str]:
    return [applied["policy"]["name"] for applied in status.get("applied", [])]


def test_the_agents_pod_sees_the_nodes_vm_and_judges_it_by_a_users_policy(cluster: Cluster, installed: Node) -> None:
    cluster.control_plane.kubectl("apply", "-f", str(POLICY))

    wait_for(
        lambda: "cluster-defaults" in _policies(_status(cluster, installed)),
        what="the agent to judge by the policy",
        deadline=DEADLINE_S,
    )

    assert _status(cluster, installed)["virtualMachines"] == 1


def test_a_restart_of_every_pod_goes_on_where_the_last_one_was(cluster: Cluster, installed: Node) -> None:
    kubectl = cluster.control_plane.kubectl
    epoch = _status(cluster, installed)["epoch"]

    kubectl("rollout", "restart", "deployment,daemonset", f"--namespace={NAMESPACE}")
    wait_ready(cluster)

    assert _status(cluster, installed)["epoch"] == epoch


def test_an_uninstall_leaves_nothing_and_an_install_after_it_works(cluster: Cluster, installed: Node) -> None:
    kubectl = cluster.control_plane.kubectl

    remove(cluster)

    assert "virtwatch" not in kubectl("get", "crd,clusterrole,clusterrolebinding,namespace", "-o", "name").stdout
    install(cluster, otlp_port=None)
