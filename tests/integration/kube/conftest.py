from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.controlplane.cluster import VMI_CRD, ControlPlane
from lab.rundir import RunDir, clean
from virtwatch_kube.client import KubeClient

CRDS = Path(__file__).parents[3] / "crds"


@pytest.fixture(scope="session")
def cluster() -> Iterator[ControlPlane]:
    """Run a control plane of these tests alone: they kill it and empty its etcd."""
    own = RunDir.create("tests-kube")
    started = ControlPlane(own)
    try:
        started.start()
        started.apply_crds(VMI_CRD, CRDS)
        yield started
    finally:
        started.stop()
        clean(own)


@pytest.fixture
def client(cluster) -> KubeClient:
    return KubeClient.from_environment(str(cluster.kubeconfig))


@pytest.fixture
def namespace(cluster, request) -> Iterator[str]:
    """Own a namespace for one test."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**9}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
