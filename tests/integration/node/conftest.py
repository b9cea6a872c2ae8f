import os
from collections.abc import Iterator

import pytest

from lab.images.small import busybox_image
from lab.node.cluster import Cluster
from lab.node.node import Node
from lab.rundir import RunDir

# On request, until `python -m lab build` builds what nodes run: VIRTWATCH_NODES=1 pytest tests/integration/node
collect_ignore_glob = [] if os.environ.get("VIRTWATCH_NODES") else ["test_*.py"]


@pytest.fixture(scope="session")
def cluster(run: RunDir) -> Iterator[Cluster]:
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
