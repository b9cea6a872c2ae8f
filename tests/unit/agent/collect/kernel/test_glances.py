"""Glances at a real process: it sleeps, then takes all of a CPU, and is worth a look at once."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from virtwatch_agent.collect.kernel.glances import EVERY_S, Glances
from virtwatch_agent.collect.kernel.reader import KernelReader, NetworkCounters, ThreadGoneError
from virtwatch_agent.inventory.processes import QemuProcess

BUSY = "import sys; print('on', flush=True); sys.stdin.readline()\nwhile True: pass"


def ran(folder: Path) -> float:
    """Return the seconds for which a process has had a CPU."""
    return int((folder / "schedstat").read_text().split()[0]) / 1e9


def test_a_process_that_takes_a_cpu_is_worth_a_look_within_two_glances():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", BUSY], text=True, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()  # what its start takes is no load
        folder = Path("/proc") / str(process.pid)
        threads = {0: folder / "task" / str(process.pid)}
        reader = KernelReader(QemuProcess(folder, "1", 0.0, threads), (), NetworkCounters())
        glances = Glances()
        # On a busy machine it may get less than all of a CPU.
        glances.plan("vm", {"vm.cpu.utilization": [0.05]})
        try:
            assert not glances.glance("vm", reader, now=time.monotonic())
            time.sleep(EVERY_S)
            assert not glances.glance("vm", reader, now=time.monotonic())
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            glanced, end = 0, time.monotonic() + 60
            seen = False
            while not seen and glanced < 3:
                used = ran(folder)
                time.sleep(EVERY_S)
                now = time.monotonic()
                seen = glances.glance("vm", reader, now=now)
                glanced += ran(folder) - used > EVERY_S / 10  # on a busy machine it may have to wait for its CPU
                assert now < end
            assert seen
            before = glances.before("vm", at=now)
            assert before is not None
            assert before.clock < now
            assert set(before.values) == {("cpu.time", "0"), ("cpu.delay", "0")}
        finally:
            process.kill()
            process.wait()
        with pytest.raises(ThreadGoneError):
            glances.glance("vm", reader, now=time.monotonic())
        reader.close()


def test_all_vms_are_glanced_at_together_and_only_when_it_is_time():
    glances = Glances()
    assert glances.next_due() is None
    for name in "ab":
        glances.plan(name, {"vm.cpu.utilization": [0.5]})
    glances.plan("c", {"vm.memory.rss": [0.5]})
    assert list(glances.due(100.0)) == ["a", "b"]
    assert list(glances.due(100.1)) == []
    due = glances.next_due()
    assert due is not None
    assert 100.1 < due <= 100.0 + EVERY_S
    glances.forget("a")
    assert list(glances.due(due)) == ["b"]
