"""Control groups of both versions, as the kernel lays them out."""

from pathlib import Path

import pytest

from virtwatch_agent.inventory.cpu_limits import cpu_limits, throttled_seconds

VCPUS = "machine/qemu-1-web.libvirt-qemu/vcpu0"


@pytest.fixture
def thread(tmp_path: Path) -> Path:
    folder = tmp_path / "proc" / "42" / "task" / "43"
    folder.mkdir(parents=True)
    (folder / "cgroup").write_text(f"4:memory:/{VCPUS}\n3:cpu,cpuacct:/{VCPUS}\n0::/\n")
    return folder


def test_each_group_with_a_limit_counts_also_around_the_thread(thread: Path, tmp_path: Path) -> None:
    hierarchy = tmp_path / "cgroup" / "cpu,cpuacct"
    (hierarchy / VCPUS).mkdir(parents=True)
    for group, quota in ((VCPUS, "20000"), (str(Path(VCPUS).parent), "-1"), ("machine", "50000")):
        (hierarchy / group / "cpu.cfs_quota_us").write_text(quota)
    found = cpu_limits([thread], tmp_path / "cgroup")
    assert found == (hierarchy / VCPUS / "cpu.stat", hierarchy / "machine" / "cpu.stat")


def test_a_pods_limit_in_the_unified_hierarchy_counts(thread: Path, tmp_path: Path) -> None:
    (thread / "cgroup").write_text("0::/kubepods.slice/pod1.slice/cri-1.scope\n")
    inner = tmp_path / "cgroup" / "kubepods.slice" / "pod1.slice" / "cri-1.scope"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("max 100000\n")
    (inner.parent / "cpu.max").write_text("20000 100000\n")
    assert cpu_limits([thread], tmp_path / "cgroup") == (inner.parent / "cpu.stat",)


def test_groups_without_limits_and_groups_that_cannot_be_read_differ(thread: Path, tmp_path: Path) -> None:
    assert cpu_limits([thread], tmp_path / "nowhere") is None
    group = tmp_path / "cgroup" / "cpu" / VCPUS
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    assert cpu_limits([thread], tmp_path / "cgroup") == ()


@pytest.mark.parametrize(
    "text",
    [
        b"nr_periods 9\nnr_throttled 5\nthrottled_time 1500000000\n",
        b"usage_usec 9\nnr_throttled 5\nthrottled_usec 1500000\nnr_bursts 0\n",
    ],
)
def test_what_was_withheld_is_seconds(text: bytes) -> None:
    assert throttled_seconds(text) == pytest.approx(1.5)
