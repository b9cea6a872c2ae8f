"""Which QEMUs are stopped (SIGSTOP, a debugger), seen without asking their monitors.

A QEMU whose vCPUs used no CPU since the last look may be stopped: only then the state of its process is read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from virtwatch_agent.collect.kernel.reader import KernelReader
from virtwatch_agent.observations import Series


@dataclass(slots=True)
class _Look:
    values: Mapping[Series, float]  # the same object while the kernel writes the same
    used: float
    well_at: float  # monotonic seconds, when it was last seen not to be stopped


class StoppedProcesses:
    """Know VMs by UUID; used on the collector's thread only."""

    def __init__(self, is_stopped: Callable[[KernelReader], bool] | None = None) -> None:
        self._is_stopped = is_stopped or (lambda reader: reader.stopped())
        self._looks: dict[str, _Look] = {}

    def look(self, uuid: str, reader: KernelReader, values: Mapping[Series, float], *, clock: float) -> float | None:
        """Return for how many seconds a VM's QEMU has been stopped at most; None where it is not.

        `values` are its newest readings of the kernel, `clock` monotonic seconds.
        """
        last = self._looks.get(uuid)
        if last is not None and last.values is values:
            used = last.used
        else:
            used = sum(value for (key, _), value in values.items() if key == "cpu.time")
        if last is None or last.used != used or not self._is_stopped(reader):
            self._looks[uuid] = _Look(values, used, clock)
            return None
        return clock - last.well_at

    def forget(self, uuid: str) -> None:
        """Drop a VM that is gone, whose QEMU is a new one, or whose monitor is asked instead."""
        self._looks.pop(uuid, None)
