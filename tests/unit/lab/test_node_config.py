"""What a node's parts are told on machines of other kinds than this one."""

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from lab.node.cgroup import Hierarchies, hand_down
from lab.node.config import containerd_config, kubelet_config, may_lower_oom_score
from lab.rundir import RunDir

V1 = """\
31 30 0:27 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu
32 30 0:28 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
"""
V2 = "33 30 0:29 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
BESIDE = "34 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
OTHER = "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"


def kubelet(*, unified: bool, oom_score: bool) -> dict:
    nowhere = Path("/nowhere")
    settings = kubelet_config(
        address="10.0.0.1",
        port=1,
        health_port=2,
        ca=nowhere,
        resolv=nowhere,
        cgroup="/top",
        unified=unified,
        oom_score=oom_score,
    )
    return dict(json.loads(settings))


@pytest.mark.parametrize(
    ("mounts", "found"),
    [
        (OTHER + V2, Hierarchies((Path("/sys/fs/cgroup"),), unified=True)),
        (OTHER + V1, Hierarchies((Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/memory")), unified=False)),
        (
            V1 + BESIDE,
            Hierarchies(
                (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/unified")),
                unified=False,
            ),
        ),
    ],
)
def test_the_control_groups_of_a_machine_are_found(mounts: str, found: Hierarchies) -> None:
    assert Hierarchies.found(mounts) == found


def test_a_kubelet_keeps_its_plugins_in_the_nodes_own_folders() -> None:
    assert kubelet(unified=True, oom_score=True)["volumePluginDir"].startswith("/var/lib/")


@pytest.mark.parametrize(
    ("effective", "may"), [("000001ffffffffff", True), ("00000000a80425fb", False), ("0000000001000000", True)]
)
def test_only_with_its_capability_are_containers_made_less_likely_to_be_killed(effective: str, may: bool) -> None:
    assert may_lower_oom_score(f"Name:\tpython\nCapEff:\t{effective}\nCapBnd:\t0\n") is may


def test_a_kubelet_is_asked_for_exceptions_only_where_the_machine_needs_them() -> None:
    usual = kubelet(unified=True, oom_score=True)
    needed = kubelet(unified=False, oom_score=False)

    assert {"failCgroupV1", "oomScoreAdj"}.isdisjoint(usual)
    assert (needed["failCgroupV1"], needed["oomScoreAdj"]) == (False, 0)


@pytest.mark.parametrize("lower", [True, False])
def test_so_is_containerd(lower: bool) -> None:
    config = containerd_config(cni=Path("/cni"), plugins=["/plugins", Path("/more")], lower_oom_score=lower)
    settings = tomllib.loads(config)

    assert settings["plugins"]["io.containerd.cri.v1.runtime"]["restrict_oom_score_adj"] is not lower


class Unified:
    """The files of a cgroup v2 group, which take and lose controllers as the kernel's do while no child uses them."""

    def __init__(self, folder: Path) -> None:
        self.group, self.lent = folder / "group", folder / "lent"
        self.group.mkdir()
        (self.group / "cgroup.controllers").write_text("cpu cpuset memory pids\n")
        self._file = self.group / "cgroup.subtree_control"
        self._file.write_text("cpu memory\n")
        self._folder = folder

    def run(self, name: str) -> RunDir:
        run = RunDir(self._folder / name)
        run.path.mkdir()
        before = set(self._file.read_text().split())
        added = hand_down(self.group, run=run, lent=self.lent)
        self._file.write_text(" ".join(sorted(before | added)))
        return run

    def end(self, run: RunDir, *, in_use: bool) -> str:
        """Take back what the run recorded; return what is handed down then."""
        before = set(self._file.read_text().split())
        if in_use:
            self._file.unlink()
            self._file.mkdir()  # no write to it succeeds
        for line in (run.path / "undo.jsonl").read_text().splitlines():
            subprocess.run(json.loads(line), check=True)
        if in_use:
            self._file.rmdir()
            self._file.write_text(" ".join(sorted(before)))
        else:
            taken = {word.removeprefix("-") for word in self._file.read_text().split()}
            self._file.write_text(" ".join(sorted(before - taken)))
        return self._file.read_text()


def test_the_last_run_takes_back_the_controllers_that_the_first_had_handed_down(tmp_path: Path) -> None:
    machine = Unified(tmp_path)
    first, second = machine.run("first"), machine.run("second")

    assert machine.end(first, in_use=True) == "cpu cpuset memory pids"
    assert machine.end(second, in_use=False) == "cpu memory"
    assert not machine.lent.exists()


def test_a_run_to_which_the_machine_hands_down_everything_takes_nothing_back(tmp_path: Path) -> None:
    machine = Unified(tmp_path)
    (machine.group / "cgroup.subtree_control").write_text("cpu cpuset memory pids\n")

    run = machine.run("only")

    assert not (run.path / "undo.jsonl").exists()
    assert not machine.lent.exists()
