"""Two nodes, a plain libvirtd on one of them, virtwatch installed on both, and then KubeVirt."""

from collections.abc import Iterator

import pytest

from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.guests.together import side_by_side
from lab.installed.events import EventLog
from lab.kubevirt.installation import install, prepare
from lab.node import virtwatch
from lab.node.cluster import Cluster
from lab.rundir import RunDir, clean
from tests.e2e.kubevirt.plain import Seen, see_plain
from tests.e2e.kubevirt.watched import NAMESPACE, Watched


@pytest.fixture(scope="session")
def run() -> Iterator[RunDir]:
    """Own the folder of the cluster: its parts have the names of the parts of other control planes."""
    made = RunDir.create("tests-kubevirt")
    yield made
    clean(made)


@pytest.fixture(scope="session")
def host(run: RunDir) -> Iterator[HostLibvirt]:
    made = HostLibvirt(run)
    made.start(linux=False)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def plain(host: HostLibvirt) -> Guest:
    """Run a VM of which Kubernetes knows nothing."""
    guest = host.add("plain-1", linux=False)
    guest.resume()
    return guest


@pytest.fixture(scope="session")
def cluster(run: RunDir, host: HostLibvirt) -> Iterator[Cluster]:
    """Run node-1, which has the plain libvirtd too, and node-2."""
    started = Cluster(run)
    started.start()
    started.add_node("node-1", mounts={"/run/libvirt": host.socket.parent})
    started.add_node("node-2")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def without_kubevirt(cluster: Cluster) -> Iterator[Watched]:
    """Install virtwatch as a user does, before there is a KubeVirt."""
    cluster.control_plane.kubectl("create", "namespace", NAMESPACE)
    virtwatch.install(cluster, otlp_port=None)
    with EventLog(cluster.control_plane.kubeconfig, NAMESPACE) as events:
        yield Watched(cluster, events)


@pytest.fixture(scope="session")
def seen_before_kubevirt(without_kubevirt: Watched, plain: Guest) -> Seen:
    return see_plain(without_kubevirt, plain)


@pytest.fixture(scope="session")
def watched(without_kubevirt: Watched, seen_before_kubevirt: Seen) -> Watched:
    """Install KubeVirt where virtwatch is already."""
    cluster = without_kubevirt.cluster
    side_by_side([lambda node=node: prepare(node) for node in cluster.nodes.values()])
    install(cluster)
    return without_kubevirt
