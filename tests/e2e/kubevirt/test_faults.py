"""While an alert fires, a part of virtwatch or of its node ends: the alert goes on, and each turn is said once."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from signal import SIGKILL

import pytest

from lab.guests.together import side_by_side
from lab.kubevirt.vm import VirtualMachine
from lab.node import virtwatch
from lab.node.node import Node
from lab.process import wait_for
from tests.e2e.kubevirt.watched import DEADLINE_S, Told, Watched, told_of_vm
from tools.images.product import AGENT, OPERATOR

pytestmark = pytest.mark.timeout(900)
POLICY, RULE, NODE = "faults", "paused", "node-2"
PAUSED = {
    "name": RULE,
    "severity": "Critical",
    "event": {"type": "vm.paused", "resolveOn": ["vm.resumed", "vm.stopped"]},
}
IN_SYSTEM = f"--namespace={virtwatch.NAMESPACE}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What ends, and how it comes back where Kubernetes does not see to it."""

    strike: Callable[[Watched], None]
    mend: Callable[[Watched], None]


def kill_agent(watched: Watched) -> None:
    process = node(watched).pods_process("virtwatch-agent")
    assert process is not None
    os.kill(process, SIGKILL)


def delete_agents_pod(watched: Watched) -> None:
    labels = ("-l", "app.kubernetes.io/name=virtwatch-agent", f"--field-selector=spec.nodeName={NODE}")
    watched.kubectl("delete", "pod", IN_SYSTEM, *labels)


def kill_leader(watched: Watched) -> None:
    """Kill the operator's replica that leads: it hands the Lease to nobody, and the other has to wait for its end."""
    lease = json.loads(watched.kubectl("get", "lease", "virtwatch-operator", IN_SYSTEM, "-o", "json").stdout)
    leader = str(lease["spec"]["holderIdentity"]).rpartition("_")[0]
    pod = json.loads(watched.kubectl("get", "pod", leader, IN_SYSTEM, "-o", "json").stdout)
    on = watched.cluster.nodes[pod["spec"]["nodeName"]]
    process = on.pods_process("virtwatch-operator", environment=f"POD_NAME={leader}\0".encode())
    assert process is not None
    os.kill(process, SIGKILL)


def node(watched: Watched) -> Node:
    return watched.cluster.nodes[NODE]


def wait_agent(watched: Watched) -> None:
    watched.cluster.nodes[NODE].wait_ready()
    virtwatch.wait_ready(watched.cluster)


def change_images(watched: Watched) -> None:
    """Give both workloads an image of another tag, as an upgrade does."""
    for workload, image in zip(virtwatch.WORKLOADS, (OPERATOR, AGENT), strict=True):
        other = f"{image.rpartition(':')[0]}:upgraded"
        for on in watched.cluster.nodes.values():
            on.name_image(image, other)
        watched.kubectl("set", "image", workload, f"*={other}", IN_SYSTEM)


FAULTS = {
    "the agent is killed": Fault(kill_agent, wait_agent),
    "the agent's pod is deleted": Fault(delete_agents_pod, wait_agent),
    "the operator's leader is killed": Fault(kill_leader, wait_agent),
    "all pods get another image": Fault(change_images, wait_agent),
    "the kubelet restarts": Fault(
        lambda watched: node(watched).kubelet.kill(),
        lambda watched: (node(watched).kubelet.start(), wait_agent(watched))[-1],
    ),
    "containerd restarts": Fault(
        lambda watched: node(watched).containerd.kill(),
        lambda watched: (node(watched).containerd.start(), wait_agent(watched))[-1],
    ),
}


@pytest.fixture(scope="module")
def vms(watched: Watched) -> Iterator[tuple[VirtualMachine, VirtualMachine]]:
    """Run two VMs on one node under a rule about pauses."""
    first, second = watched.vms(*(watched.spec(name, disk=False, node=NODE) for name in ("faults-1", "faults-2")))
    watched.put_in_force(POLICY, PAUSED, target={"names": ["faults-*"]})
    yield first, second
    watched.forget(POLICY)
    side_by_side([first.delete, second.delete])


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_alert_outlives_it_and_what_comes_meanwhile_is_not_missed(
    fault: Fault, watched: Watched, vms: tuple[VirtualMachine, VirtualMachine]
) -> None:
    first, second = vms
    of_policy = Told(watched, "MonitorPolicy", POLICY)
    of_vms = {vm.spec.name: told_of_vm(watched, vm) for vm in vms}

    def wait_said(vm: VirtualMachine, *reasons: str) -> None:
        of_vms[vm.spec.name].wait(RULE, *reasons)
        what = f"the policy's Events about {vm.spec.name}"
        wait_for(lambda: of_policy.of(RULE, vm=vm) == list(reasons), what=what, deadline=DEADLINE_S)

    first.pause()
    wait_said(first, "AlertCritical")
    before = watched.wait_alert(POLICY, first)

    fault.strike(watched)
    second.pause()
    fault.mend(watched)

    wait_said(second, "AlertCritical")
    assert watched.wait_alert(POLICY, first) == before
    for vm in vms:
        vm.unpause()
        wait_said(vm, "AlertCritical", "AlertResolved")
        watched.wait_quiet(POLICY, vm)
    for told in of_vms.values():
        assert told.of(RULE) == ["AlertCritical", "AlertResolved"]
        assert told.counts(RULE) == [1, 1]
