"""What threads waited for disks, by the real kernel's count; and a kernel that does not count."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.process import wait_for
from virtwatch_agent.collect.kernel.delays import IoDelay

PROC = Path("/proc")
SWITCH = PROC / "sys" / "kernel" / "task_delayacct"
# Writes past the page cache, so that it waits for the disk; each write from a thread that ends with it.
WRITES = """
import os, sys, threading
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_DSYNC)
def write():
    os.pwrite(file, os.urandom(1 << 20), 0)
while True:
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    write()
"""


@pytest.fixture
def counted() -> Iterator[None]:
    """Let the kernel count for threads that start from now on."""
    try:
        before = SWITCH.read_text()
        SWITCH.write_text("1")
    except OSError:
        pytest.skip("who runs the tests may not switch the kernel's delay accounting on")
    yield
    SWITCH.write_text(before)


def test_the_waits_of_a_process_that_writes_grow(counted: None, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITES, tmp_path / "data"]) as writer:
        try:
            delay = IoDelay(PROC / str(writer.pid), PROC)
            told = [0.0]

            def grown() -> bool:
                told.append(delay.read().values["cpu.iowait", ""])
                return told[-1] > 0.05

            wait_for(grown, what="the writer to have waited for its disk", deadline=30)
            assert told == sorted(told)
        finally:
            writer.kill()


def test_without_delay_accounting_there_is_a_reason_and_no_zero(tmp_path: Path) -> None:
    switch = tmp_path / "sys" / "kernel" / "task_delayacct"
    switch.parent.mkdir(parents=True)
    switch.write_text("0\n")

    found = IoDelay(PROC / str(os.getpid()), tmp_path).read()

    assert ("cpu.iowait", "") not in found.values
    assert "sysctl kernel.task_delayacct=1" in found.unavailable["cpu.iowait"]


def laid_out(proc: Path, **threads: tuple[str, int]) -> Path:
    """Lay out a process: the state of each thread, and how often it ran."""
    process = proc / "7"
    for thread, (state, runs) in threads.items():
        folder = process / "task" / thread
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "stat").write_text(f"{thread} (a) b) {state} " + " ".join(["0"] * 49))
        (folder / "schedstat").write_text(f"100 200 {runs}\n")
    return process


def test_a_thread_that_is_not_woken_has_waited_since_it_was_first_seen(tmp_path: Path) -> None:
    now = [100.0]
    delay = IoDelay(laid_out(tmp_path, t1=("D", 5), t2=("S", 9)), tmp_path, clock=lambda: now[0])

    def stalled(at: float, **threads: tuple[str, int]) -> float:
        now[0] = at
        laid_out(tmp_path, **threads)
        return delay.read().values["io.stalled", ""]

    assert stalled(100.0) == 0.0
    assert stalled(115.0) == 15.0
    assert stalled(130.0, t2=("D", 9)) == 30.0
    assert stalled(145.0, t1=("S", 6)) == 15.0
    assert stalled(160.0, t2=("D", 10)) == 0.0, "a disk that is merely busy wakes its threads"
    assert stalled(175.0, t2=("R", 11)) == 0.0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk needs root")
def test_a_write_to_a_disk_that_hangs_is_seen_while_it_hangs(tmp_path: Path) -> None:
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    writer = subprocess.Popen([sys.executable, "-c", WRITES, folder / "data"])
    try:
        delay = IoDelay(PROC / str(writer.pid), PROC)
        wait_for((folder / "data").exists, what="the writer to write", deadline=30)
        for _ in range(20):
            assert delay.read().values["io.stalled", ""] < 1.0
        subprocess.run(["fsfreeze", "--freeze", folder], check=True)
        wait_for(lambda: delay.read().values["io.stalled", ""] > 1.0, what="the writer to hang", deadline=30)

        subprocess.run(["fsfreeze", "--unfreeze", folder], check=True)
        wait_for(lambda: delay.read().values["io.stalled", ""] == 0.0, what="it to go on", deadline=30)
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", folder], check=False, capture_output=True)
        writer.kill()
        writer.wait()
        subprocess.run(["umount", "-l", folder], check=True)
