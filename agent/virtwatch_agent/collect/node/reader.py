"""What psutil says of the node's CPUs, memory and swap, and what its VMs were promised of them."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.node.source import NodeSource
from virtwatch_api.catalogue import absences


@dataclass(frozen=True, slots=True)
class Allocated:
    """Hold what all running VMs of the node may use: vCPUs, and bytes of memory."""

    vcpus: int = 0
    memory: float = 0.0


class BasicReader(NodeSource):
    """Read seconds, CPUs and bytes. These files of /proc are the host's in a pod too."""

    def __init__(self, allocated: Callable[[], Allocated]) -> None:
        """`allocated` says what the node's VMs may use."""
        self._allocated = allocated

    def __call__(self) -> Found:
        """Return the readings."""
        times, memory, promised = psutil.cpu_times(), psutil.virtual_memory(), self._allocated()
        swap = psutil.swap_memory()
        # A guest's time is part of `user` and `nice` already.
        busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
        values = {
            ("node.cpu.busy", ""): busy,
            ("node.cpu.iowait", ""): times.iowait,
            ("node.cpu.steal", ""): times.steal,
            ("node.cpu.count", ""): float(psutil.cpu_count() or 1),
            ("node.load", ""): os.getloadavg()[0],
            ("node.memory.available", ""): float(memory.available),
            ("node.memory.total", ""): float(memory.total),
            ("node.swap.in", ""): float(swap.sin),
            ("node.swap.out", ""): float(swap.sout),
            ("node.vcpus", ""): float(promised.vcpus),
            ("node.vm.memory", ""): promised.memory,
        }
        if not swap.total:
            return Found(values, dict.fromkeys(("node.swap.used", "node.swap.total"), absences.NO_SWAP))
        return Found({**values, ("node.swap.used", ""): swap.used, ("node.swap.total", ""): swap.total})
