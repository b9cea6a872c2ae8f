from collections.abc import Iterator

import pytest

from lab.node.cluster import Cluster
from lab.node.node import Node
from lab.node.small import busybox_image
from lab.rundir import RunDir, clean
from tests.machine import kernel_settings


@pytest.fixture(scope="session")
def run() -> Iterator[RunDir]:
    """Own the folder of the cluster: its parts have the names of the parts of other control planes."""
    made = RunDir.create("tests-node")
    yield made
    clean(made)


@pytest.fixture(scope="session")
def kernel_before() -> dict[str, str]:
    return kernel_settings()


@pytest.fixture(scope="session")
def cluster(run: RunDir, kernel_before: dict[str, str]) -> Iterator[Cluster]:
    """Run a cluster whose nodes the tests add."""
    started = Cluster(run)
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def node(cluster: Cluster) -> Node:
    """Run a node with an image for tests."""
    added = cluster.add_node("node-1")
    added.import_image(busybox_image())
    return added
