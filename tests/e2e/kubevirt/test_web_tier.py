"""The example policy on VMs of KubeVirt: whom the agents see and judge, a busy guest, a disk without room."""

import os
from collections import Counter
from collections.abc import Iterator
from signal import SIGKILL

import pytest

from lab.guests.disk import Disk
from lab.guests.together import side_by_side
from lab.kubevirt.vm import VirtualMachine, host_disk
from lab.process import wait_for
from tests.e2e.kubevirt.watched import DEADLINE_S, Told, Watched, told_of_vm
from tools.checkout import CHECKOUT

pytestmark = pytest.mark.timeout(900)
EXAMPLE = CHECKOUT / "manifests" / "examples" / "web-tier.yaml"
POLICY, CPU, DISK = "web-tier", "cpu-busy", "paused-on-io-error"
TRIED = "tried"
LABELS = {"tier": "web"}


@pytest.fixture(scope="module")
def policy(watched: Watched, web: VirtualMachine, writer: VirtualMachine) -> Iterator[str]:
    """Put the example in force on VMs that have booted: that keeps them busy too."""
    watched.kubectl("apply", "-f", str(EXAMPLE))
    watched.wait_ready(POLICY)
    yield POLICY
    watched.kubectl("delete", "-f", str(EXAMPLE))


@pytest.fixture(scope="module")
def both(watched: Watched, disk: Disk) -> Iterator[list[VirtualMachine]]:
    """Run two VMs that the example selects: the second on the disk that can run out of room."""
    made = watched.vms(
        watched.spec("web-1", labels=LABELS, disk=False),
        watched.spec("web-2", labels=LABELS, host_disk=disk.path, node="node-2"),
    )
    yield made
    side_by_side([vm.delete for vm in made])


@pytest.fixture(scope="module")
def web(both: list[VirtualMachine]) -> VirtualMachine:
    return both[0]


@pytest.fixture(scope="module")
def disk(watched: Watched) -> Disk:
    made = host_disk(watched.cluster.nodes["node-2"], "web-2")
    made.make()
    return made


@pytest.fixture(scope="module")
def writer(both: list[VirtualMachine]) -> VirtualMachine:
    return both[1]


def test_the_agents_watch_kubevirts_vms_and_a_plain_libvirts_beside_them(
    watched: Watched, web: VirtualMachine, writer: VirtualMachine
) -> None:
    expected = Counter({"node-1": 0, "node-2": 0})
    expected.update([web.node, writer.node, "node-1"])  # The last is plain-1, the host's own.

    def seen() -> dict[str, int]:
        return {name: watched.node(name).get("virtualMachines", 0) for name in expected}

    wait_for(lambda: seen() == expected, what=f"the agents to report {dict(expected)} VMs", deadline=DEADLINE_S)


def test_a_policy_judges_the_vms_that_its_labels_select_on_every_node(
    watched: Watched, policy: str, web: VirtualMachine, writer: VirtualMachine
) -> None:
    nodes = len({web.node, writer.node})
    expected = {"selected": 2, "virtualMachines": 2, "nodes": nodes, "nodesApplied": nodes}
    wait_for(
        lambda: watched.policy(policy).get("targets") == expected,
        what=f"the policy's targets to be {expected}",
        deadline=DEADLINE_S,
    )


def test_a_busy_guest_fires_an_alert_on_vm_and_policy_and_a_calm_one_resolves_it(
    watched: Watched, policy: str, web: VirtualMachine
) -> None:
    of_vm, of_policy = told_of_vm(watched, web), Told(watched, "MonitorPolicy", policy)

    watched.ask(web, "cpu on")
    for told in (of_vm, of_policy):
        told.wait_any(CPU)
    alert = watched.wait_alert(policy, web)
    watched.ask(web, "cpu off")
    for told in (of_vm, of_policy):
        told.wait_last(CPU, "AlertResolved")
    watched.wait_quiet(policy, web)

    value, threshold = (float(alert[name].removesuffix(" %")) for name in ("value", "threshold"))
    assert value > threshold >= 50
    assert alert["node"] == web.node
    assert of_vm.of(CPU)[0] in ("AlertWarning", "AlertCritical")
    assert "vm.cpu.utilization (Avg over 5s) is " in of_vm.notes(CPU)[0]


@pytest.fixture
def tries(watched: Watched) -> Iterator[None]:
    """Have it told when the VM with the full disk goes on, for however short."""
    tried = {"name": TRIED, "severity": "Warning", "event": {"type": "vm.resumed", "keepFiringFor": "1s"}}
    watched.put_in_force("tries", tried, target={"names": ["web-2"]})
    yield
    watched.forget("tries")


def kill_agent(watched: Watched) -> None:
    """End the agent of the VM's node; return when the next one has found all VMs again."""
    process = watched.cluster.nodes["node-2"].pods_process("virtwatch-agent")
    assert process is not None
    before = watched.node("node-2")
    os.kill(process, SIGKILL)

    def found() -> bool:
        now = watched.node("node-2")
        again = now["agent"]["started"] != before["agent"]["started"]
        return again and now["virtualMachines"] == before["virtualMachines"]

    wait_for(found, what="the next agent to have found all VMs again", deadline=DEADLINE_S)


@pytest.mark.usefixtures("tries")
@pytest.mark.parametrize("time", ["first", "second"])
def test_a_disk_without_room_fires_until_there_is_room_and_the_vm_goes_on(
    watched: Watched, policy: str, writer: VirtualMachine, disk: Disk, time: str
) -> None:
    told = told_of_vm(watched, writer)

    disk.fill()
    watched.ask(writer, "fill")
    told.wait(DISK, "AlertCritical")
    alert = watched.wait_alert(policy, writer)
    # KubeVirt lets the VM go on every few seconds, in vain: the alert stays one alert, until there is room.
    told.wait(TRIED, "AlertWarning", "AlertResolved")
    if time == "second":
        kill_agent(watched)
        assert watched.wait_alert(policy, writer)["since"] == alert["since"]
    disk.free()
    writer.unpause_after_io_error()
    told.wait(DISK, "AlertCritical", "AlertResolved")
    watched.wait_quiet(policy, writer)

    assert (alert["rule"], alert["severity"], alert["node"]) == (DISK, "Critical", "node-2")
    assert "enospc" in alert["value"]
    assert told.of(DISK) == ["AlertCritical", "AlertResolved"]
    assert "vm.resumed" in told.notes(DISK)[-1]
