"""The operator as a real process on a real API server of these tests' own: they kill it and take its kinds away."""

import itertools
from collections.abc import Iterator
from contextlib import suppress

import pytest

from lab.controlplane.cluster import VMI_CRD, ControlPlane
from lab.rundir import RunDir, clean
from tests.integration.operator.place import Place, eventually
from tests.integration.operator.stand_in import StandIn
from tools.checkout import CHECKOUT
from virtwatch_api.policy import PolicyKey
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import NotFound
from virtwatch_kube.paths import resource, virtwatch

_TESTS = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[ControlPlane]:
    own = RunDir.create("tests-operator")
    started = ControlPlane(own)
    try:
        started.start()
        started.apply_crds(CHECKOUT / "crds")
        started.apply_crds(VMI_CRD)
        yield started
    finally:
        started.stop()
        clean(own)


@pytest.fixture(scope="session")
def client(cluster: ControlPlane) -> KubeClient:
    return KubeClient.from_environment(str(cluster.kubeconfig))


@pytest.fixture
def place(cluster: ControlPlane, client: KubeClient, request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(cluster, client, f"t{next(_TESTS)}", [], itertools.count())
    for namespace in (made.name, made.system, made.other):
        client.create(
            resource("v1", "namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        )
    account = resource("v1", "serviceaccounts", namespace=made.system, name="default")
    eventually(lambda: client.get(account), what="the ServiceAccount without which no pod is admitted")
    yield made
    for process in made.started:
        process.kill()
        print(f"{process.name} said:\n{process.tail()}")  # pytest shows it where the test failed
    _clean(made)


@pytest.fixture
def flowing(place: Place) -> Iterator[tuple[Place, StandIn, PolicyKey]]:
    """Let transitions flow on one node, for a policy that is in force."""
    first = place.operator()
    key = place.policy()
    agent = place.agent()
    eventually(lambda: place.thresholds(key), what="the ThresholdSet")
    first.kill()
    agent.live([key])
    yield place, agent, key
    agent.leave()


def _clean(place: Place) -> None:
    client = place.client
    for kind in ("monitorpolicies", "clustermonitorpolicies", "nodemonitors"):
        for item in client.list(virtwatch(kind)):
            metadata = item["metadata"]
            with suppress(NotFound):  # it may go with its Node
                client.delete(virtwatch(kind, namespace=metadata.get("namespace"), name=metadata["name"]))
    for item in client.list(resource("v1", "nodes")):
        client.delete(resource("v1", "nodes", name=item["metadata"]["name"]))
    for namespace in (place.name, place.system, place.other):
        client.delete(resource("v1", "namespaces", name=namespace))
