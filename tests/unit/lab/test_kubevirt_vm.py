"""What the lab asks of KubeVirt for a VM, where KubeVirt is not ready for that."""

import subprocess

import pytest

from lab.kubevirt.vm import VirtualMachine, VmSpec
from tools.errors import ToolError


class ControlPlane:
    """Refuse so many requests, then take them; show the VMI of a VM that runs on a node, or on none."""

    def __init__(self, *, refusals: int = 0, node: str = "") -> None:
        self.asked = 0
        self._refusals = refusals
        self._node = node

    def kubectl(self, *args: str, check: bool = True, **_: str) -> subprocess.CompletedProcess[str]:
        self.asked += 1
        refused = self.asked <= self._refusals
        if refused and check:
            raise ToolError("VMI is not paused")
        return subprocess.CompletedProcess(args, int(refused), "", "")

    def get(self, path: str) -> dict:
        return {"status": {"nodeName": self._node}} if self._node else {}


def vm(control_plane: ControlPlane) -> VirtualMachine:
    return VirtualMachine(control_plane, VmSpec(name="web-1"))  # type: ignore[arg-type]


def test_a_vm_is_unpaused_as_soon_as_kubevirt_calls_it_paused() -> None:
    control_plane = ControlPlane(refusals=2)
    vm(control_plane).unpause()
    assert control_plane.asked == 3


def test_a_vm_that_kubevirt_let_go_on_after_an_io_error_is_asked_for_once() -> None:
    control_plane = ControlPlane(refusals=1)
    vm(control_plane).unpause_after_io_error()
    assert control_plane.asked == 1


def test_a_vm_that_kubevirt_has_lost_runs_on_no_node() -> None:
    assert vm(ControlPlane(node="node-1")).on({"node-1": "it"}) == "it"  # type: ignore[dict-item]
    with pytest.raises(ToolError, match="default/web-1 runs on no node now"):
        vm(ControlPlane()).on({"node-1": "it"})  # type: ignore[dict-item]
