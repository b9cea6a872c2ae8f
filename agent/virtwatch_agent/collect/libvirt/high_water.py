"""How far a thin disk has filled its volume, though QEMU forgets it with each of its starts."""

from collections.abc import Mapping
from dataclasses import dataclass

from virtwatch_agent.observations import Series

_MOST_DISKS = 20_000  # about 5 MB; the disks that were asked longest ago are forgotten first


@dataclass(frozen=True, slots=True)
class _Mark:
    volume: str
    room: float
    occupied: float


class HighWater:
    """Remember the highest place on its volume that each disk was seen to occupy: it never gives one back."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str], _Mark] = {}

    def keep(self, uuid: str, volumes: Mapping[str, str], values: Mapping[Series, float]) -> Mapping[Series, float]:
        """Return a VM's readings with what is known of its disks on `volumes` (their devices on the host, by disk)."""
        kept = dict(values)
        for disk, volume in volumes.items():
            if (room := values.get(("disk.room", disk))) is None:
                continue
            mark = self._marks.pop((uuid, disk), None)
            # Another volume, or one that shrank, is another disk: it starts again.
            before = mark.occupied if mark is not None and mark.volume == volume and mark.room <= room else 0.0
            occupied = max(before, values.get(("disk.allocation", disk), 0.0))
            if occupied > 0:
                self._marks[uuid, disk] = _Mark(volume, room, occupied)
                kept["disk.allocation", disk] = occupied
        while len(self._marks) > _MOST_DISKS:
            del self._marks[next(iter(self._marks))]
        return kept
