"""A node is drained: KubeVirt moves its VMs away, and an alert that fires goes along while the operator moves too."""

import json
from collections.abc import Iterator

import pytest

from lab.kubevirt.vm import VirtualMachine
from lab.node import virtwatch
from tests.e2e.kubevirt.watched import Watched, told_of_vm

pytestmark = pytest.mark.timeout(900)
POLICY, RULE = "drained", "started"
# One that fires as long as the VM runs: a paused VM could not be moved.
STARTED = {"name": RULE, "severity": "Warning", "event": {"type": "vm.started", "resolveOn": ["vm.stopped"]}}
DRAINED, OTHER = "node-2", "node-1"
DRAIN_S = 400


@pytest.fixture
def vm(watched: Watched) -> Iterator[VirtualMachine]:
    """Run a VM on the node to be drained, which may run on either."""
    watched.put_in_force(POLICY, STARTED, target={"names": ["drained-1"]})
    watched.kubectl("cordon", OTHER)
    try:
        made = watched.vm("drained-1", disk=False)
    finally:
        watched.kubectl("uncordon", OTHER)
    yield made
    made.delete()
    watched.forget(POLICY)


@pytest.fixture
def drained(watched: Watched) -> Iterator[str]:
    """Name the node to be drained; afterwards it is in use again."""
    yield DRAINED
    watched.kubectl("uncordon", DRAINED)
    virtwatch.wait_ready(watched.cluster)


def test_a_drained_nodes_alerts_go_along_with_its_vms(watched: Watched, vm: VirtualMachine, drained: str) -> None:
    before = watched.wait_alert(POLICY, vm)
    told = told_of_vm(watched, vm)
    assert before["node"] == drained

    options = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={DRAIN_S}s")
    watched.kubectl("drain", drained, *options)

    watched.wait_moved(POLICY, vm, to=OTHER)
    [after] = watched.alerts(POLICY, vm)
    assert after["since"] == before["since"]
    # The agent watches a node that is being emptied; the operator's replicas are where pods may run.
    assert pods(watched, "virtwatch-agent") == {OTHER, drained}
    virtwatch.wait_ready(watched.cluster)
    assert pods(watched, "virtwatch-operator") == {OTHER}
    # The first that is said of the alert, since it fired, is its end.
    vm.stop()
    told.wait(RULE, "AlertResolved")


def pods(watched: Watched, name: str) -> set[str]:
    """Return the nodes on which pods of a workload of ours run."""
    asked = ("get", "pods", f"--namespace={virtwatch.NAMESPACE}", "-l", f"app.kubernetes.io/name={name}", "-o", "json")
    items = json.loads(watched.kubectl(*asked).stdout)["items"]
    return {item["spec"]["nodeName"] for item in items if item["status"]["phase"] == "Running"}
