"""Pressure of the node that begins, as the kernel tells it, or as its files do where it tells nothing."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.process import wait_for
from virtwatch_agent.collect.pressure_triggers import PressureTriggers
from virtwatch_agent.observations import Observation, PressureRose

needs_psi = pytest.mark.skipif(not os.access("/proc/pressure/cpu", os.R_OK), reason="the kernel has no PSI")
AS_THE_AGENT = ("setpriv", "--bounding-set=-all,+dac_override", "--inh-caps=-all")
SET = """
import time
from virtwatch_agent.collect.pressure_triggers import PressureTriggers
triggers = PressureTriggers(time)
triggers.start(lambda *_: None)
print(sorted(triggers.notified.items()))
triggers.stop()
"""


@contextmanager
def watching(triggers: PressureTriggers) -> Iterator[list[Observation]]:
    told: list[Observation] = []
    triggers.start(lambda *observations: told.extend(observations))
    try:
        yield told
    finally:
        triggers.stop()


def write(proc: Path, total: int, *, resource: str = "cpu") -> None:
    (proc / "pressure").mkdir(exist_ok=True)
    line = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n"
    (proc / "pressure" / resource).write_text(line)


@needs_psi
def test_the_kernel_tells_when_tasks_wait_for_a_cpu():
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        with watching(PressureTriggers(time, quiet=0.0)) as told:
            wait_for(lambda: any(item.resource == "cpu" for item in told), what="pressure on the CPUs", deadline=60)
    finally:
        for process in busy:
            process.kill()
            process.wait()


@needs_psi
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="it needs root, and setpriv")
def test_the_agents_one_capability_is_enough_for_triggers():
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 5):
        pytest.skip("older kernels want CAP_SYS_RESOURCE")
    ran = subprocess.run([*AS_THE_AGENT, sys.executable, "-c", SET], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[('cpu', True), ('io', True), ('memory', True)]", ran.stderr


def test_where_no_trigger_can_be_set_files_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("virtwatch_agent.collect.pressure_triggers.WINDOW_S", 0.05)
    write(tmp_path, 1_000_000)
    (tmp_path / "pressure" / "cpu").chmod(0o444)
    monkeypatch.setattr("virtwatch_agent.collect.pressure_triggers._trigger", refused)
    triggers = PressureTriggers(time, proc=tmp_path, quiet=30.0)
    with watching(triggers) as told:
        assert triggers.notified == {"cpu": False}
        write(tmp_path, 9_000_000)
        wait_for(lambda: told, what="pressure that was read", deadline=30)
        write(tmp_path, 19_000_000)  # it lasts: that is no news
        write(tmp_path, 29_000_000)
    assert [item.resource for item in told if isinstance(item, PressureRose)] == ["cpu"]


def test_a_kernel_without_pressure_files_is_none_to_watch(tmp_path):
    triggers = PressureTriggers(time, proc=tmp_path)
    with watching(triggers):
        assert triggers.notified == {}


def refused(path: Path) -> int:
    raise PermissionError(1, "Operation not permitted", str(path))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_closed(held: int) -> None:
    """Return when no more is open than before: what else this process does may open a file for a moment."""
    wait_for(lambda: descriptors() <= held, what="all to be closed", deadline=30)


def test_files_that_cannot_be_understood_are_closed(tmp_path, monkeypatch):
    monkeypatch.setattr("virtwatch_agent.collect.pressure_triggers._trigger", refused)
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "cpu").write_text("nothing of it")
    triggers = PressureTriggers(time, proc=tmp_path)
    held = descriptors()
    with watching(triggers):
        assert triggers.notified == {}
        wait_closed(held)


def test_a_thread_that_ended_by_itself_leaves_the_pipe_to_stop(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("virtwatch_agent.collect.pressure_triggers.WINDOW_S", 0.05)
    monkeypatch.setattr("virtwatch_agent.collect.pressure_triggers._trigger", refused)
    write(tmp_path, 1_000_000)
    triggers = PressureTriggers(time, proc=tmp_path)
    monkeypatch.setattr(triggers, "_look", lambda _: 1 / 0)
    held = descriptors()
    triggers.start(lambda *_: None)
    wait_for(lambda: not triggers._thread.is_alive(), what="the thread's end", deadline=30)
    triggers.stop()
    triggers.stop()
    wait_closed(held)
