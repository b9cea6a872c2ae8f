from typing import Any

from virtwatch_agent.collect.libvirt.stopped_processes import StoppedProcesses

QEMU: Any = object()


class Qemu:
    """A QEMU that may be stopped, and how often somebody looked whether it is."""

    def __init__(self) -> None:
        self.stopped, self.asked = False, 0
        self.processes = StoppedProcesses(self._look)

    def look(self, used: float, clock: float) -> float | None:
        values = {("cpu.time", "0"): used, ("memory.rss", ""): clock}
        return self.processes.look("a", QEMU, values, clock=clock)

    def _look(self, reader: object) -> bool:
        self.asked += 1
        return self.stopped


def test_a_qemu_that_uses_cpu_is_not_looked_at() -> None:
    qemu = Qemu()

    assert [qemu.look(float(at), clock=at) for at in range(5)] == [None] * 5
    assert qemu.asked == 0


def test_an_idle_qemu_is_not_stopped() -> None:
    qemu = Qemu()

    assert [qemu.look(1.0, clock=at) for at in range(5)] == [None] * 5
    assert qemu.asked == 4


def test_a_stopped_qemu_is_so_since_it_was_last_seen_well() -> None:
    qemu = Qemu()
    qemu.look(1.0, clock=0.0)
    qemu.look(1.0, clock=15.0)
    qemu.stopped = True

    assert qemu.look(1.5, clock=30.0) is None, "it ran since the last look"
    assert [qemu.look(1.5, clock=at) for at in (45.0, 60.0)] == [15.0, 30.0]

    qemu.stopped = False
    assert qemu.look(1.5, clock=75.0) is None
