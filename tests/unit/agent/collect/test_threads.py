import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from virtwatch_agent.collect.kernel.threads import allowed_cpus, look, names
from virtwatch_rules.contention import Look, contention

PROC = Path("/proc")
CPU = min(os.sched_getaffinity(0))  # not that of which another test lets nothing be left: see test_culprits.py
BUSY = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nprint('on', flush=True)\nwhile True: pass"


@contextmanager
def busy(cpu: int) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", BUSY, str(cpu)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def test_who_shares_a_pinned_cpu_is_named_on_a_real_kernel() -> None:
    """Two processes that want all of one CPU: each is the reason why the other waits."""
    cpu = CPU
    with busy(cpu) as victim, busy(cpu) as hog:
        assert allowed_cpus(PROC / str(victim)) == {cpu}
        looks: list[Look] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            looks.append(look(PROC, at=time.monotonic()))
            found = contention(
                looks, target=victim, cpus=frozenset({cpu}), machines={hog: "shop/batch-7"}, names=names(PROC, {hog})
            )
            if found.seconds > 1 and any(gain.name == "shop/batch-7" for gain in found.gains):
                break
            time.sleep(0.2)
    (gain,) = (gain for gain in found.gains if gain.name == "shop/batch-7")
    assert 0.05 <= gain.share <= 0.95
    assert gain.virtual_machine
    assert f"had the time of CPU {cpu}, of which it had" in found.text


def test_processes_are_named_without_their_arguments() -> None:
    with busy(CPU) as process:
        assert set(names(PROC, {process, 2**22 + 1})) == {process}
        assert "affinity" not in names(PROC, {process})[process]


def test_a_process_that_is_gone_may_use_nothing() -> None:
    assert allowed_cpus(PROC / "99999999") == frozenset()
