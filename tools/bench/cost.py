"""What the agent costs while it watches."""

import os
import time
from pathlib import Path

from lab.installed.system import System
from tools.bench.figure import Figure
from tools.progress import step

SETTLE_S = 10.0
MEASURE_S = 30.0


def agent_cost(system: System) -> tuple[Figure, Figure]:
    """Measure the agent's CPU and memory over half a minute in which nothing happens."""
    with step(f"Measuring the agent's cost over {MEASURE_S:g} s"):
        time.sleep(SETTLE_S)
        before, begun = cpu_seconds(system.agent.pid), time.monotonic()
        time.sleep(MEASURE_S)
        used, passed = cpu_seconds(system.agent.pid) - before, time.monotonic() - begun
    detail = f"{len(system.machines)} VMs, KubeVirt-shaped, one of them judged each second, over {MEASURE_S:g} s"
    return (
        Figure(name="agent CPU", value=used / passed, unit="CPUs", goal=None, detail=detail),
        Figure(name="agent memory", value=resident(system.agent.pid), unit="MiB", goal=None, detail=f"RSS; {detail}"),
    )


def cpu_seconds(pid: int) -> float:
    """Return the seconds of CPU that all threads of a process used, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
