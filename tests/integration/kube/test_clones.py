"""An agent hears of each clone of KubeVirt's once, and of none that was done before."""

import json
from collections.abc import Iterator

import pytest

from lab.controlplane.cluster import ControlPlane
from lab.process import wait_for
from tests.unit.agent.kubernetes.test_clones import clone
from virtwatch_agent.kubernetes.clones import CLONES, GROUP, Clones
from virtwatch_agent.observations import Cloned, Observation
from virtwatch_kube.client import KubeClient

KIND = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{CLONES}.clone.kubevirt.io"},
    "spec": {
        "group": "clone.kubevirt.io",
        "scope": "Namespaced",
        "names": {"kind": "VirtualMachineClone", "plural": CLONES},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture
def served(cluster: ControlPlane) -> Iterator[None]:
    """Let the API server have KubeVirt's kind, as far as it is read."""
    cluster.kubectl("apply", "-f", "-", input=json.dumps(KIND))
    cluster.wait_established(f"crd/{CLONES}.clone.kubevirt.io")
    yield
    cluster.kubectl("delete", "crd", f"{CLONES}.clone.kubevirt.io")


def test_each_clone_that_succeeds_is_heard_of_once(
    served: None, cluster: ControlPlane, client: KubeClient, namespace: str
) -> None:
    def put(name: str, phase: str, **labels: str) -> None:
        made = clone(phase, targetName=f"{name}-vm")
        metadata = {"namespace": namespace, "name": name, "labels": labels}
        made |= {"apiVersion": GROUP, "kind": "VirtualMachineClone", "metadata": metadata}
        cluster.kubectl("apply", "-f", "-", input=json.dumps(made))

    heard: list[Observation] = []
    put("before", "Succeeded")
    clones = Clones(client=client, time=lambda: 7.0)
    clones.start(lambda *observations: heard.extend(observations))
    try:
        wait_for(lambda: clones.synced, what="the first list", deadline=30)
        put("now", "RestoreInProgress")
        put("now", "Succeeded")
        put("now", "Succeeded", touched="again")
        put("before", "Succeeded", touched="again")
        put("last", "Succeeded")
        wait_for(lambda: len(heard) > 1, what="two clones", deadline=30)
    finally:
        clones.stop()

    assert heard == [Cloned(namespace, "db", f"{name}-vm", 7.0) for name in ("now", "last")]
