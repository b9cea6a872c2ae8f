from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.images.small import busybox_image
from lab.node.cluster import Cluster
from lab.node.node import Node
from lab.rundir import RunDir, clean


@pytest.fixture(scope="session")
def run() -> Iterator[RunDir]:
    """Own the folder of the cluster: its parts have the names of the parts of other control planes."""
    made = RunDir.create("tests-node")
    yield made
    clean(made)


def kernel_settings() -> dict[str, str]:
    """Return what kubelets and network plugins are known to change, as the machine has it."""
    names = (
        *("vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops", "vm.panic_on_oom", "net.ipv4.ip_forward"),
        *("kernel.keys.root_maxkeys", "kernel.keys.root_maxbytes"),
    )
    return {name: Path("/proc/sys", name.replace(".", "/")).read_text() for name in names}


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
