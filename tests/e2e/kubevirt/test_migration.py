"""A live migration by KubeVirt: an alert that fires goes along, and nobody is told that it ended or began.

What a pattern counted goes along too.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from lab.kubevirt.vm import VirtualMachine
from lab.process import wait_for
from tests.e2e.kubevirt.statuses import PolicyStatuses
from tests.e2e.kubevirt.watched import DEADLINE_S, Told, Watched, told_of_vm

pytestmark = pytest.mark.timeout(900)
POLICY, RULE = "moving", "cpu-busy"
# A node judges no sample of a VM in the 15 s after it came: what this one says tells that they are over.
AFTERWARDS, STILL = "moved", "still-busy"
# Far from what a busy guest and an idle one use, so that one level fires and none flaps while the machine is busy.
BUSY = {
    "name": RULE,
    "threshold": {
        "signal": "vm.cpu.utilization",
        "aggregate": {"function": "Avg", "window": "5s"},
        "critical": {"above": "0.25", "recover": "0.10"},
    },
}


ARRIVALS = "arrivals"
ARRIVED = {
    "name": "arrived",
    "severity": "Warning",
    "event": {"type": "vm.migration_completed", "where": {"role": "target"}},
}
# Two of the three happen before the VM moves, the third after it.
COUNTING, THRICE = "counting", "paused-thrice"
PAUSES = {
    "name": THRICE,
    "severity": "Warning",
    "pattern": {"count": {"type": "vm.paused", "where": {"reason": "user"}, "atLeast": 3}, "within": "30m"},
}
STARTED = {"name": "leaves", "severity": "Warning", "event": {"type": "vm.migration_started"}}
ONE_VM: dict[str, Any] = {"target": {"names": ["moving-1"]}, "collection": {"interval": "1s"}}


@pytest.fixture
def vm(watched: Watched) -> Iterator[VirtualMachine]:
    """Run a VM that is watched each second, once it has booted: that keeps it busy too."""
    made = watched.vm("moving-1", disk=False)
    watched.put_in_force(POLICY, BUSY, **ONE_VM)
    watched.put_in_force(COUNTING, PAUSES, **ONE_VM)
    yield made
    made.delete()
    for policy in (POLICY, COUNTING, AFTERWARDS, ARRIVALS):
        watched.forget(policy)


def test_an_alert_that_fires_goes_along_with_its_vm(watched: Watched, vm: VirtualMachine) -> None:
    of_vm, of_policy = told_of_vm(watched, vm), Told(watched, "MonitorPolicy", POLICY)
    source = vm.node
    pause(vm, times=2)
    watched.ask(vm, "cpu on")
    of_vm.wait(RULE, "AlertCritical")
    of_policy.wait(RULE, "AlertCritical")
    before, known = watched.wait_alert(POLICY, vm), _identity(watched, source)

    watched.put_in_force(ARRIVALS, STARTED, ARRIVED, **ONE_VM)

    with PolicyStatuses(watched.cluster.control_plane.kubeconfig, "shop", POLICY) as statuses:
        target = vm.move()
        watched.wait_moved(POLICY, vm, to=target)
        watched.put_in_force(AFTERWARDS, {**BUSY, "name": STILL}, **ONE_VM)
        watched.wait_alert(AFTERWARDS, vm)
        # Both agents have judged anew by now; the operator is to have told what they had to say.
        judged = {name: watched.node(name)["sequence"] for name in (source, target)}
        wait_for(
            lambda: all(_acknowledged(watched, name) >= sequence for name, sequence in judged.items()),
            what="the operator to have told all that both agents said",
            deadline=DEADLINE_S,
        )

    of_vm.wait("leaves", "AlertWarning")
    of_vm.wait("arrived", "AlertWarning")
    [after] = watched.alerts(POLICY, vm)
    assert (before["node"], after["node"]) == (source, target)
    assert after["since"] == before["since"]
    assert _identity(watched, target) == known
    assert of_vm.of(RULE) == ["AlertCritical"]
    assert of_policy.of(RULE) == ["AlertCritical"]
    assert statuses.without_alert == []
    assert statuses.quiet == []
    assert of_vm.of(THRICE) == []
    pause(vm, times=1)
    of_vm.wait(THRICE, "AlertWarning")

    watched.ask(vm, "cpu off")
    of_vm.wait(RULE, "AlertCritical", "AlertResolved")


def pause(vm: VirtualMachine, *, times: int) -> None:
    """Pause a VM and let it go on."""
    for _ in range(times):
        vm.pause()
        wait_for(lambda: vm.paused != "", what="KubeVirt to call the VM paused", deadline=DEADLINE_S)
        vm.unpause()
        wait_for(lambda: vm.paused == "", what="KubeVirt to call it running", deadline=DEADLINE_S)


def _identity(watched: Watched, node: str) -> str:
    """Return what a node calls the alert that fires there."""
    [alert] = [alert for alert in watched.node(node)["firing"] if alert["rule"] == RULE]
    return str(alert["id"])


def _acknowledged(watched: Watched, node: str) -> int:
    """Return up to where the operator has told what a node's agent said."""
    path = "jsonpath={.spec.acknowledged.sequence}"
    return int(watched.kubectl("get", "nodemonitor", node, "-o", path).stdout or 0)
