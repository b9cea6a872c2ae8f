"""Keeps the agent to the CPU that it may use, by asking less often: pure.

What asks QEMU's monitor is slowed first: it costs most, and QEMU and libvirt as well. All else follows when that is
not enough.
"""

from dataclasses import dataclass

# A rule takes samples that stay away for three of its intervals as missing.
MOST = 2.5
_STEP = 1.5  # at most, between two looks
_EASE = 1.25
_ROOM = 0.8  # share of the budget below which it is eased


@dataclass(frozen=True, slots=True)
class Slowdown:
    """Say by how much intervals are lengthened: of what asks QEMU's monitor, and of all else."""

    monitor: float = 1.0
    rest: float = 1.0

    @property
    def at_its_end(self) -> bool:
        """Return whether no interval can be longer."""
        return self.monitor >= MOST and self.rest >= MOST


NO_SLOWDOWN = Slowdown()


class Budget:
    """Follow what is used, CPU seconds per second, and say by how much to slow down."""

    def __init__(self, cpu: float) -> None:
        """`cpu` is how many CPUs may be used, 0 for any."""
        self.cpu = cpu
        self._pressure = 1.0

    @property
    def slowdown(self) -> Slowdown:
        """Return by how much intervals are lengthened now."""
        return Slowdown(min(self._pressure, MOST), min(max(self._pressure / MOST, 1.0), MOST))

    def look(self, used: float) -> Slowdown:
        """Take what was used since the last look."""
        if self.cpu > 0 and used > self.cpu:
            self._pressure = min(self._pressure * min(used / self.cpu, _STEP), MOST * MOST)
        elif self.cpu > 0 and used < _ROOM * self.cpu:
            self._pressure = max(self._pressure / _EASE, 1.0)
        return self.slowdown
