"""KubeVirt itself in the lab: its VMs boot, obey, pause and move, as they would on any cluster."""

from collections.abc import Iterator

import pytest

from lab.kubevirt.vm import VirtualMachine, VmSpec
from lab.node.cluster import Cluster
from lab.process import wait_for
from tests.e2e.kubevirt.watched import Watched

# The first test of the folder waits for KubeVirt to install itself.
pytestmark = pytest.mark.timeout(900)
DEADLINE_S = 120.0


@pytest.fixture(scope="module")
def vm(watched: Watched) -> Iterator[VirtualMachine]:
    """Run a Linux guest without a disk."""
    made = VirtualMachine(watched.cluster.control_plane, VmSpec(name="web-1", disk=False))
    watched.run(made)
    yield made
    made.delete()


def test_a_guest_boots_and_obeys(cluster: Cluster, vm: VirtualMachine) -> None:
    vm.ask("cpu on", on=cluster.nodes[vm.node])
    vm.ask("cpu off", on=cluster.nodes[vm.node])


def test_a_vm_pauses_and_goes_on(cluster: Cluster, vm: VirtualMachine) -> None:
    vm.pause()
    wait_for(lambda: vm.paused == "PausedByUser", what="the VMI to be paused", deadline=DEADLINE_S)
    vm.unpause()
    wait_for(lambda: vm.paused == "", what="the VMI to go on", deadline=DEADLINE_S)


def test_a_vm_moves_to_the_other_node_and_goes_on(cluster: Cluster, vm: VirtualMachine) -> None:
    source = vm.node
    vm.ask("cpu on", on=cluster.nodes[source])

    assert vm.move() != source

    vm.ask("cpu off", on=cluster.nodes[vm.node])
