"""What KubeVirt does to a VM, or an out-of-memory kill, the agent hears and rules on events judge."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from lab.kubevirt.vm import VirtualMachine
from lab.process import wait_for
from tests.e2e.kubevirt.watched import DEADLINE_S, NAMESPACE, Told, Watched, told_of_vm

pytestmark = pytest.mark.timeout(900)
POLICY, NODE = "life", "node-2"
STOPPED_ON_REQUEST = re.compile(r"vm\.stopped \((cause deleted, )?reason (shutdown|destroyed)\)")


def _rule(name: str, *resolve_on: str) -> dict[str, Any]:
    event = {"type": f"vm.{name}", "resolveOn": list(resolve_on)}
    return {"name": name, "severity": "Warning", "event": event}


RULES = (
    _rule("started", "vm.stopped"),
    _rule("paused", "vm.resumed", "vm.stopped"),
    _rule("stopped", "vm.started"),
    _rule("crashed", "vm.started"),
    {"name": "cloned", "severity": "Warning", "event": {"type": "vm.cloned", "keepFiringFor": "1s"}},
)


@pytest.fixture(scope="module")
def made(watched: Watched) -> Iterator[VirtualMachine]:
    """Run a VM under rules about its turns."""
    watched.put_in_force(POLICY, *RULES, target={"names": ["life-*"]})
    # On one node: there an alert's end is heard where the alert fires.
    vm = watched.vm("life-1", disk=False, node=NODE)
    yield vm
    vm.delete()
    watched.forget(POLICY)


@pytest.fixture
def vm(watched: Watched, made: VirtualMachine) -> VirtualMachine:
    """Give the VM while it runs and the agent knows."""
    watched.run(made)
    _wait_rules(watched, made, "started")
    return made


@pytest.fixture
def told(watched: Watched, vm: VirtualMachine) -> Told:
    return told_of_vm(watched, vm)


def test_a_pause_and_what_ends_it(vm: VirtualMachine, told: Told) -> None:
    vm.pause()
    told.wait("paused", "AlertWarning")
    vm.unpause()
    told.wait("paused", "AlertWarning", "AlertResolved")

    assert "vm.paused (reason user)" in told.notes("paused")[0]
    assert "vm.resumed" in told.notes("paused")[1]


def test_a_clone_is_reported_of_the_vm_that_was_cloned(watched: Watched, vm: VirtualMachine, told: Told) -> None:
    vm.clone("copy-of-life")

    told.wait("cloned", "AlertWarning", "AlertResolved")

    assert "vm.cloned (clone copy-of-life)" in told.notes("cloned")[0]
    watched.kubectl("delete", "vmclone,vm", "copy-of-life", f"--namespace={NAMESPACE}", "--wait=false")


def test_a_stop_and_the_start_after_it(watched: Watched, vm: VirtualMachine, told: Told) -> None:
    vm.stop()
    told.wait("stopped", "AlertWarning")
    wait_for(lambda: vm.vmi() == {}, what="the VMI to be gone", deadline=DEADLINE_S)
    _wait_let_go(watched)

    vm.start()
    told.wait("stopped", "AlertWarning", "AlertResolved")

    told.wait("started", "AlertResolved", "AlertWarning")
    assert STOPPED_ON_REQUEST.search(told.notes("stopped")[0])
    assert told.of("crashed") == []


def test_a_crash_and_the_start_by_which_kubevirt_mends_it(vm: VirtualMachine, told: Told, watched: Watched) -> None:
    before = vm.vmi()["metadata"]["uid"]

    vm.kill_qemu(on=watched.cluster.nodes[NODE])
    told.wait("crashed", "AlertWarning", "AlertResolved")

    assert "reason failed" in told.notes("crashed")[0]
    assert vm.vmi()["metadata"]["uid"] != before


def test_an_alert_ends_with_the_launcher_pod_that_was_deleted_under_it(vm: VirtualMachine, told: Told) -> None:
    before = vm.vmi()["metadata"]["uid"]
    vm.pause()
    told.wait("paused", "AlertWarning")

    vm.delete_launcher()

    told.wait("paused", "AlertWarning", "AlertResolved")
    told.wait("started", "AlertResolved", "AlertWarning")
    assert told.of("paused") == ["AlertWarning", "AlertResolved"]
    assert vm.vmi()["metadata"]["uid"] != before


def test_a_deleted_vm_has_stopped(watched: Watched, vm: VirtualMachine, told: Told) -> None:
    vm.delete()

    told.wait("started", "AlertResolved")
    told.wait("stopped", "AlertWarning")
    assert STOPPED_ON_REQUEST.search(told.notes("stopped")[0])
    _wait_let_go(watched)


def _wait_let_go(watched: Watched) -> None:
    wait_for(lambda: watched.node(NODE)["virtualMachines"] == 0, what="the agent to let the VM go", deadline=DEADLINE_S)


def _wait_rules(watched: Watched, vm: VirtualMachine, *rules: str) -> None:
    """Return when alerts of exactly these rules fire for the VM."""
    wait_for(
        lambda: sorted(alert["rule"] for alert in watched.alerts(POLICY, vm)) == sorted(rules),
        what=f"the rules {', '.join(rules)} to fire for {vm.spec.name}",
        deadline=DEADLINE_S,
    )
