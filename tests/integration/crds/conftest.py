"""The five kinds on a real API server."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab.controlplane.cluster import ControlPlane
from tests.policy_cases import good_policy
from tools.checkout import CHECKOUT
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import KubeError
from virtwatch_kube.paths import virtwatch

DEADLINE_S = 120.0
PLURALS = {"MonitorPolicy": "monitorpolicies", "ClusterMonitorPolicy": "clustermonitorpolicies"}


@pytest.fixture(scope="session")
def kinds(control_plane: ControlPlane) -> ControlPlane:
    """Serve virtwatch's kinds."""
    control_plane.apply_crds(CHECKOUT / "crds")
    deadline = time.monotonic() + DEADLINE_S
    for kind in PLURALS:
        # A kind is established a moment before discovery tells kubectl of it.
        while control_plane.kubectl(
            "apply", "--dry-run=server", "-f", "-", input=json.dumps(good_policy(kind)), check=False
        ).returncode:
            assert time.monotonic() < deadline, f"waited {DEADLINE_S:.0f} s for {kind} to be served"
            time.sleep(0.2)
    return control_plane


@pytest.fixture(scope="session")
def client(kinds: ControlPlane) -> KubeClient:
    return KubeClient.from_environment(str(kinds.kubeconfig))


@pytest.fixture(scope="session")
def refusal(client: KubeClient) -> Callable[[dict[str, Any]], str]:
    """Tell what the API server says against a policy, in a dry run; nothing when it accepts it."""

    def ask(policy: dict[str, Any]) -> str:
        path = virtwatch(PLURALS[policy["kind"]], namespace=policy["metadata"].get("namespace"))
        try:
            client.create(f"{path}?dryRun=All&fieldValidation=Strict", policy)
        except KubeError as error:
            return str(error)
        return ""

    return ask
