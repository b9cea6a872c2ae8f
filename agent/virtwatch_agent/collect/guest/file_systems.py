"""Which of a guest's file systems are shown: what a guest reports of itself is outside our trust, and has bounds."""

from collections.abc import Iterable
from dataclasses import dataclass

from virtwatch_agent.observations import Series

_MOST = 32  # file systems of one guest; of more the first by their names
_MOST_NAME = 128  # characters of where one is mounted
# Those that are always full, and those that are no disk's: KubeVirt's own alert leaves the same ones out.
_LEFT_OUT = frozenset(
    {"cdfs", "iso9660", "udf", "squashfs", "tmpfs", "devtmpfs", "ramfs", "overlay", "cramfs", "erofs"}
)


@dataclass(frozen=True, slots=True)
class FileSystem:
    """Hold what a guest reports of one file system, as it came: any of it may be of any type, or missing."""

    where: object
    kind: object
    used: object
    size: object


def readings(found: Iterable[FileSystem]) -> dict[Series, float]:
    """Return the use and the size of those that can fill."""
    shown = {where: (used, size) for item in found for where, used, size in _shown(item)}
    values: dict[Series, float] = {}
    for where in sorted(shown)[:_MOST]:
        values["filesystem.used", where], values["filesystem.size", where] = shown[where]
    return values


def _shown(item: FileSystem) -> Iterable[tuple[str, float, float]]:
    """Yield where a file system is mounted, what of it is used and its size; nothing where it is none that fills."""
    used, size = _bytes(item.used), _bytes(item.size)
    # Agents before 3.0 report no sizes: KubeVirt writes 0 then.
    if str(item.kind).lower() in _LEFT_OUT or used is None or not size:
        return
    if isinstance(item.where, str) and item.where.isprintable():
        yield item.where[:_MOST_NAME], used, size


def _bytes(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return float(value) if number else None  # type: ignore[arg-type] # a number, as was just seen
