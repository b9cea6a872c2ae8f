"""Whatever ends a lab, and however many there are, its guests leave nothing on the machine."""

import os
import subprocess
import sys
import uuid
from pathlib import Path
from signal import SIGKILL

from lab.guests.host import HostLibvirt
from lab.guests.launcher import Launcher
from lab.process import wait_for
from lab.rundir import RunDir, clean, leftovers, processes

LAB = """
import sys
from pathlib import Path
from lab.guests.host import HostLibvirt
from lab.guests.launcher import Launcher
from lab.rundir import RunDir
run = RunDir.create("a test's lab")
host = HostLibvirt(run)
host.start(linux=False)
host.add("db-1", linux=False)
launcher = Launcher(run, pods_dir=run.path / "pods", pod_uid=sys.argv[1], namespace="shop", vmi="web-1", linux=False)
launcher.start()
print(run.name, host.guests[0].qemu_pid, launcher.guest.qemu_pid, flush=True)
sys.stdin.read()
"""


def traces(name: str) -> list[str]:
    """Return what the machine shows of a run outside its folder: mounts, interfaces, control groups, processes."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line]
    interfaces = [path.name for path in Path("/sys/class/net").glob(f"*{name}*")]
    # Not by rglob, which fails on a group that another test has just removed.
    groups = [f"{top}/{group}" for top, found, _ in os.walk("/sys/fs/cgroup") for group in found if name in group]
    commands = [path for path in Path("/proc").glob("[0-9]*/cmdline") if name.encode() in content(path)]
    return [*mounts, *interfaces, *groups, *map(str, commands)]


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def start_lab(run: RunDir) -> tuple[HostLibvirt, Launcher]:
    host = HostLibvirt(run)
    host.start(linux=False)
    host.add("db-1", linux=False)
    pod_uid = str(uuid.uuid4())
    launcher = Launcher(run, pods_dir=run.path / "pods", pod_uid=pod_uid, namespace="shop", vmi="web-1", linux=False)
    launcher.start()
    return host, launcher


def test_two_labs_at_once_do_not_meet_and_leave_nothing() -> None:
    runs = [RunDir.create("a test's lab") for _ in range(2)]
    try:
        (host, launcher), (other_host, other_launcher) = map(start_lab, runs)
        guests = [host.guests[0], launcher.guest, other_host.guests[0], other_launcher.guest]
        assert len({guest.qemu_pid for guest in guests}) == 4
        assert len({guest.uuid for guest in guests}) == 4
        assert host.daemon.virsh("list", "--all", "--name") == "db-1"
        assert traces(runs[0].name)

        host.stop()
        launcher.stop()

        assert not processes(runs[0])
        assert traces(runs[0].name) == []
        assert other_launcher.guest.state.state == other_host.guests[0].state.state == "paused"
        other_host.stop()
        other_launcher.stop()
        assert traces(runs[1].name) == []
    finally:
        for run in runs:
            clean(run)


def test_a_frozen_guest_and_a_frozen_daemon_do_not_hold_up_the_end() -> None:
    run = RunDir.create("a test's lab")
    try:
        host, launcher = start_lab(run)
        launcher.guest.freeze_qemu()
        host.guests[0].freeze_qemu()
        host.daemon.freeze()

        host.stop()
        launcher.stop()

        assert not processes(run)
        assert traces(run.name) == []
    finally:
        clean(run)


def test_a_lab_that_was_killed_is_found_and_cleaned() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LAB, str(uuid.uuid4())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as lab:
        assert lab.stdout is not None
        name, *pids = lab.stdout.readline().split()
        lab.send_signal(SIGKILL)
    qemus = [Path("/proc") / pid for pid in pids]
    assert len(qemus) == 2
    assert all(qemu.exists() for qemu in qemus)

    [run] = [run for run in leftovers() if run.name == name]
    clean(run)

    wait_for(lambda: not any(qemu.exists() for qemu in qemus), what="the QEMUs to be gone", deadline=30)
    assert traces(name) == []
    assert not run.path.exists()
