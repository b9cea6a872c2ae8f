"""What a VirtualMachineClone says of the VM that it cloned."""

from typing import Any

import pytest

from virtwatch_agent.kubernetes.clones import read_clone
from virtwatch_agent.observations import Cloned


def clone(phase: str = "Succeeded", **status: Any) -> dict[str, Any]:
    """Return a VirtualMachineClone of the VM db."""
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "db"}
    return {
        "metadata": {"namespace": "shop", "name": "c1"},
        "spec": {"source": source, "target": {"kind": "VirtualMachine", "name": "asked"}},
        "status": {"phase": phase, **status},
    }


def test_a_clone_that_is_done_names_its_source_and_the_new_vm() -> None:
    assert read_clone(clone(targetName="db-2"), at=5.0) == Cloned("shop", "db", "db-2", 5.0)


def test_a_clone_that_does_not_say_how_the_new_vm_is_called_is_called_as_was_asked() -> None:
    assert read_clone(clone(targetName=None), at=5.0) == Cloned("shop", "db", "asked", 5.0)


@pytest.mark.parametrize(
    "phase", ["", "SnapshotInProgress", "CreatingTargetVM", "RestoreInProgress", "Failed", "Unknown"]
)
def test_a_clone_that_is_not_done_is_none(phase: str) -> None:
    assert read_clone(clone(phase), at=5.0) is None


def test_a_clone_of_a_snapshot_is_of_no_vm_that_runs() -> None:
    made = clone()
    made["spec"]["source"]["kind"] = "VirtualMachineSnapshot"

    assert read_clone(made, at=5.0) is None


@pytest.mark.parametrize("part", ["spec", "status"])
def test_a_document_of_another_shape_says_nothing(part: str) -> None:
    assert read_clone({**clone(), part: ["strange"]}, at=5.0) is None
