"""Which control group is a VM's own: of libvirt, of a pod, and none of what it shares with others."""

from pathlib import Path

import pytest

from virtwatch_agent.inventory.control_group import own_group
from virtwatch_api.catalogue import absences

POD = "/kubepods/burstable/pod3715f773-f192-4ba4-822e-0808cc836444/9028"
SCOPE = "/kubepods.slice/kubepods-pod3715f773_f192_4ba4_822e_0808cc836444.slice/cri-containerd-1.scope"


def _process(tmp_path: Path, *lines: str) -> Path:
    process = tmp_path / "1"
    process.mkdir()
    (process / "cgroup").write_text("".join(f"{line}\n" for line in lines))
    return process


@pytest.mark.parametrize(
    ("path", "own"),
    [
        (POD, POD),
        (SCOPE, SCOPE),
        ("/machine/qemu-1-db.libvirt-qemu", "/machine/qemu-1-db.libvirt-qemu"),
        (
            r"/machine.slice/machine-qemu\x2d1\x2ddb.scope/libvirt/emulator",
            r"/machine.slice/machine-qemu\x2d1\x2ddb.scope",
        ),
        (
            r"/machine.slice/machine-qemu\x2d1\x2ddb.scope/libvirt/vcpu0",
            r"/machine.slice/machine-qemu\x2d1\x2ddb.scope",
        ),
    ],
)
@pytest.mark.parametrize("hierarchy", ["", "unified"])
def test_the_group_is_that_of_the_vm_and_not_of_one_thread(tmp_path: Path, path: str, own: str, hierarchy: str) -> None:
    cgroups = tmp_path / "cgroup"
    group = cgroups / hierarchy / own.strip("/")
    group.mkdir(parents=True)
    (group / "cgroup.procs").touch()

    assert own_group(_process(tmp_path, "3:cpuset:/x", f"0::{path}"), cgroups) == (group, "")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["0::/"], absences.NO_OWN_GROUP),
        (["0::/user.slice/user-1000.slice/session-2.scope"], absences.NO_OWN_GROUP),
        (["3:cpuset:/machine"], absences.NO_GROUPS),
        (["0::/../../kubepods/pod3715f773-f192"], absences.UNSEEN_GROUP),
        ([f"0::{POD}"], absences.UNSEEN_GROUP),
    ],
)
def test_without_one_it_says_why(tmp_path: Path, lines: list[str], why: str) -> None:
    group, said = own_group(_process(tmp_path, *lines), tmp_path / "cgroup")

    assert group is None
    assert why == said


def test_a_process_that_has_ended_is_said_so(tmp_path: Path) -> None:
    assert own_group(tmp_path / "2", tmp_path) == (None, absences.UNSEEN_GROUP)
