"""virtwatch installed with kubectl on a control plane of its own, so that nothing else has touched what is judged."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from subprocess import CompletedProcess

import pytest

from lab.controlplane.cluster import VMI_CRD, ControlPlane
from lab.installed.objects import bound_to
from lab.installed.written import create_node, create_pod
from lab.process import next_poll
from lab.rundir import RunDir, clean
from tools.checkout import CHECKOUT
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Forbidden
from virtwatch_kube.paths import virtwatch

BASE = str(CHECKOUT / "manifests" / "base")
NAMESPACE = "virtwatch-system"
AGENT, OPERATOR = "virtwatch-agent", "virtwatch-operator"
DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Installed:
    """The cluster, and what kubectl said when virtwatch was applied first."""

    control_plane: ControlPlane
    first_apply: CompletedProcess[str]
    admin: KubeClient

    def pod_template(self, workload: str) -> dict:
        """Return the Pod template of `daemonset/NAME` or `deployment/NAME`."""
        said = self.control_plane.kubectl("get", workload, f"--namespace={NAMESPACE}", "-o", "json").stdout
        template: dict = json.loads(said)["spec"]["template"]
        return template

    def client(self, account: str, *, bound_pod: str | None = None) -> KubeClient:
        """Connect with a fresh token of a ServiceAccount."""
        path = self.control_plane.service_account_kubeconfig(NAMESPACE, account, bound_pod=bound_pod)
        return KubeClient.from_environment(str(path))


@pytest.fixture(scope="session")
def installed() -> Iterator[Installed]:
    run = RunDir.create("manifests")
    control_plane = ControlPlane(run)
    try:
        control_plane.start()
        control_plane.apply_crds(VMI_CRD)
        applied = control_plane.kubectl("apply", "-k", BASE, check=False)
        control_plane.wait_established("crd", "--all")
        yield Installed(control_plane, applied, KubeClient.from_environment(str(control_plane.kubeconfig)))
    finally:
        control_plane.stop()
        clean(run)


@pytest.fixture(scope="session")
def nodes(installed: Installed) -> tuple[str, str]:
    """Make two nodes with a NodeMonitor each, as the operator makes them, and an agent's Pod on the first."""
    names = ("node-1", "node-2")
    for name in names:
        create_node(installed.control_plane, name)
        body = {"apiVersion": API_VERSION, "kind": "NodeMonitor", "metadata": {"name": name}, "spec": {}}
        installed.admin.apply(virtwatch("nodemonitors", name=name), body, manager="test")
    template = installed.pod_template(f"daemonset/{AGENT}")
    metadata = {"name": AGENT, "namespace": NAMESPACE, "labels": template["metadata"]["labels"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": bound_to("node-1", template["spec"])}
    create_pod(installed.control_plane, pod)
    return names


@pytest.fixture(scope="session")
def agent(installed: Installed, nodes: tuple[str, str]) -> KubeClient:
    """Connect as the agent of node-1, once the API server enforces the ValidatingAdmissionPolicy."""
    unbound = installed.client(AGENT)
    wait_until(lambda: refused(unbound, nodes[0]), "the ValidatingAdmissionPolicy to be enforced")
    return installed.client(AGENT, bound_pod=AGENT)


def report(client: KubeClient, node: str) -> dict:
    """Write a NodeMonitor's status, as an agent does."""
    body = {
        "apiVersion": API_VERSION,
        "kind": "NodeMonitor",
        "metadata": {"name": node},
        "status": {"epoch": "e1", "sequence": 0},
    }
    return client.apply(virtwatch("nodemonitors", name=node, subresource="status"), body, manager=AGENT)


def refused(client: KubeClient, node: str) -> bool:
    try:
        report(client, node)
    except Forbidden:
        return True
    return False


def wait_until(holds: Callable[[], bool], what: str) -> None:
    begun = time.monotonic()
    while not holds():
        waited = time.monotonic() - begun
        assert waited < DEADLINE_S, f"waited {DEADLINE_S:.0f} s for {what}"
        time.sleep(next_poll(waited))
