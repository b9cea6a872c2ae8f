"""Finding QEMU in a /proc that the test lays out."""

import errno
from pathlib import Path

import pytest

from virtwatch_agent.inventory import processes
from virtwatch_agent.inventory.processes import ProcessTable

POD = "0a1b2c3d-1111-2222-3333-444455556666"
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "stat").write_text("cpu 0 0\nbtime 1000\n")
    (tmp_path / "uptime").write_text("1 1\n")
    return tmp_path


def add(proc: Path, pid: int, *, comm="qemu-system-x86", cgroup="0::/", uuid=UUID, ticks=500, vcpus=2, state="S"):
    folder = proc / str(pid)
    for number, name in enumerate(["qemu", "IO mon_iothread", *[f"CPU {n}/KVM" for n in range(vcpus)]]):
        task = folder / "task" / str(pid + number)
        task.mkdir(parents=True)
        (task / "comm").write_text(name + "\n")
    (folder / "comm").write_text(comm + "\n")
    (folder / "cgroup").write_text(cgroup + "\n")
    (folder / "cmdline").write_bytes(b"\0".join([b"/usr/bin/qemu", b"-name", b"guest=a", b"-uuid", uuid.encode(), b""]))
    (folder / "stat").write_text(f"{pid} (a) b) {state} " + " ".join(["0"] * 18) + f" {ticks} 0\n")
    return folder


def test_a_host_vm_is_found_by_its_uuid(proc):
    add(proc, 41, uuid="another")
    folder = add(proc, 42)
    found = ProcessTable(proc).find(UUID, None)
    assert found.folder == folder
    assert found.incarnation == "42-500"
    assert found.started == pytest.approx(1000 + 500 / 100)
    assert {number: task.name for number, task in found.vcpus.items()} == {0: "44", 1: "45"}


@pytest.mark.parametrize(
    "cgroup",
    [
        f"4:memory:/kubepods/burstable/pod{POD}/abc\n0::/",
        f"0::/kubepods.slice/kubepods-burstable-pod{POD.replace('-', '_')}.slice/cri-abc.scope",
        f"0::/../../pod99999999-1111-2222-3333-444455556666/x/kubepods/pod{POD}/abc",
    ],
)
def test_a_pods_vm_is_found_by_its_control_group_alone(proc, cgroup):
    add(proc, 41, cgroup="0::/kubepods/pod11111111-1111-2222-3333-444455556666/abc")
    folder = add(proc, 42, comm="qemu-kvm", cgroup=cgroup, uuid="what the pod says does not matter")
    assert ProcessTable(proc).find(UUID, POD).folder == folder


def test_a_pod_is_never_given_the_process_of_another(proc):
    add(proc, 42, cgroup="0::/machine.slice")
    assert ProcessTable(proc).find(UUID, POD) is None


def test_of_two_processes_with_one_uuid_a_host_vm_is_the_one_outside_of_pods(proc):
    add(proc, 41, cgroup=f"0::/kubepods/pod{POD}/abc")
    folder = add(proc, 42)
    assert ProcessTable(proc).find(UUID, None).folder == folder


def test_a_process_that_started_after_the_last_look_is_found(proc):
    table = ProcessTable(proc)
    assert table.find(UUID, None) is None
    add(proc, 42)
    assert table.find(UUID, None) is not None


def test_a_pid_that_was_used_again_is_another_process(proc):
    table = ProcessTable(proc)
    folder = add(proc, 42)
    table.find(UUID, None)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    add(proc, 42, comm="bash", uuid="another", ticks=900)
    assert table.find(UUID, None) is None


def test_a_zombie_runs_no_vm(proc):
    add(proc, 42, state="Z")
    assert ProcessTable(proc).find(UUID, None) is None


@pytest.mark.parametrize("comm", ["qemu:web-1", ".qemu-system-x8", "kvm"])
def test_a_renamed_qemu_is_found_by_its_command_line(proc, comm):
    add(proc, 41, comm="bash", uuid="another")
    folder = add(proc, 42, comm=comm)
    assert ProcessTable(proc).find(UUID, None).folder == folder


def test_a_program_that_a_process_starts_later_is_seen(proc):
    table = ProcessTable(proc)
    folder = add(proc, 42, comm="rpc-libvirtd")
    (folder / "cmdline").write_bytes(b"/usr/sbin/libvirtd\0")
    assert table.find(UUID, None) is None
    (folder / "comm").write_text("qemu:web-1\n")
    (folder / "cmdline").write_bytes(b"\0".join([b"qemu", b"-name", b"guest=a", b"-uuid", UUID.encode(), b""]))
    assert table.find(UUID, None).folder == folder


def test_a_command_line_that_took_too_long_is_read_again(proc, monkeypatch):
    now = [0.0]
    table = ProcessTable(proc, clock=lambda: now[0])
    add(proc, 42)
    lines = [None, None]
    real = processes._cmdline
    monkeypatch.setattr(processes, "_cmdline", lambda folder: lines.pop() if lines else real(folder))
    assert table.find(UUID, None) is None
    assert table.find(UUID, None) is None
    assert lines == [None], "one that hangs costs its second once in a while, not at each look"
    now[0] = 31.0
    assert table.find(UUID, None) is None
    now[0] = 62.0
    assert table.find(UUID, None) is not None


def test_a_command_line_that_was_empty_for_a_moment_is_read_again(proc):
    folder = add(proc, 42)
    line = (folder / "cmdline").read_bytes()
    (folder / "cmdline").write_bytes(b"")  # the kernel has named the new program, and not set up its arguments yet
    table = ProcessTable(proc)
    assert table.find(UUID, None) is None

    (folder / "cmdline").write_bytes(line)
    assert table.find(UUID, None).folder == folder


def test_a_thread_of_the_kernel_is_asked_for_no_command_line(proc, monkeypatch):
    folder = add(proc, 42, comm="kworker/0:1")
    fields = (folder / "stat").read_text().split(" ")
    fields[9] = str(0x00200000 | 0x40)
    (folder / "stat").write_text(" ".join(fields))
    monkeypatch.setattr(processes, "_cmdline", lambda folder: pytest.fail(f"{folder} was read"))
    assert ProcessTable(proc).find(UUID, None) is None


def test_no_descriptor_left_is_not_a_process_that_ended(proc, monkeypatch):
    add(proc, 42)
    table = ProcessTable(proc)
    table.find(UUID, None)

    def exhausted(path):
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(Path, "read_bytes", exhausted)
    with pytest.raises(processes.DescriptorsExhaustedError, match="LimitNOFILE"):
        table.find(UUID, None)


def test_looking_up_many_vms_reads_each_process_twice_at_most(proc, monkeypatch):
    uuids = [f"6695eb01-f6a4-8304-79aa-{number:012d}" for number in range(200)]
    for number, uuid in enumerate(uuids):
        add(proc, 1000 + number, uuid=uuid, vcpus=0)
    reads = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (reads.append(path.name), real(path))[1])
    table = ProcessTable(proc)
    assert all(table.find(uuid, None) for uuid in uuids)
    assert reads.count("cmdline") == len(uuids)
    assert reads.count("stat") <= 4 * len(uuids)
