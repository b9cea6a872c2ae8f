"""What psutil says of the node, and what its VMs were promised of it."""

from collections.abc import Callable
from dataclasses import dataclass

import psutil

from virtwatch_agent.observations import Series


@dataclass(frozen=True, slots=True)
class Allocated:
    """Hold what all running VMs of the node may use: vCPUs, and bytes of memory."""

    vcpus: int = 0
    memory: float = 0.0


def read_node(allocated: Callable[[], Allocated]) -> dict[Series, float]:
    """Return the node's readings: seconds, CPUs and bytes. These files of /proc are the host's in a pod too."""
    times, memory, promised = psutil.cpu_times(), psutil.virtual_memory(), allocated()
    # A guest's time is part of `user` and `nice` already.
    busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return {
        ("node.cpu.busy", ""): busy,
        ("node.cpu.count", ""): float(psutil.cpu_count() or 1),
        ("node.memory.available", ""): float(memory.available),
        ("node.memory.total", ""): float(memory.total),
        ("node.vcpus", ""): float(promised.vcpus),
        ("node.vm.memory", ""): promised.memory,
    }
