"""KubeVirt on two nodes, a plain libvirtd beside it on one of them, and virtwatch installed on both."""

from collections.abc import Iterator

import pytest

from lab.guests.host import HostLibvirt
from lab.guests.together import side_by_side
from lab.installed.events import EventLog
from lab.kubevirt.installation import install, prepare
from lab.node import virtwatch
from lab.node.cluster import Cluster
from lab.rundir import RunDir, clean
from tests.e2e.kubevirt.watched import NAMESPACE, Watched


@pytest.fixture(scope="session")
def run() -> Iterator[RunDir]:
    """Own the folder of the cluster: its parts have the names of the parts of other control planes."""
    made = RunDir.create("tests-kubevirt")
    yield made
    clean(made)


@pytest.fixture(scope="session")
def plain(run: RunDir) -> Iterator[HostLibvirt]:
    """Run a libvirtd with one VM of which Kubernetes knows nothing."""
    host = HostLibvirt(run)
    host.start(linux=False)
    host.add("plain-1", linux=False)
    yield host
    host.stop()


@pytest.fixture(scope="session")
def cluster(run: RunDir, plain: HostLibvirt) -> Iterator[Cluster]:
    """Run KubeVirt on node-1, which has the plain libvirtd too, and node-2."""
    started = Cluster(run)
    started.start()
    nodes = [
        started.add_node("node-1", mounts={"/run/libvirt": plain.socket.parent}),
        started.add_node("node-2"),
    ]
    side_by_side([lambda node=node: prepare(node) for node in nodes])
    install(started)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def watched(cluster: Cluster) -> Iterator[Watched]:
    """Install virtwatch as a user does."""
    cluster.control_plane.kubectl("create", "namespace", NAMESPACE)
    virtwatch.install(cluster, otlp_port=None)
    with EventLog(cluster.control_plane.kubeconfig, NAMESPACE) as events:
        yield Watched(cluster, events)
