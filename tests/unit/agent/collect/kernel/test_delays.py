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

    assert not found.values
    assert "sysctl kernel.task_delayacct=1" in found.unavailable["cpu.iowait"]
