"""On which storage the disks of a VM lie, without asking the storage: it may be what hangs."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from virtwatch_agent.collect.libvirt.devices import Devices

_ESCAPED = re.compile(r"\\([0-7]{3})")  # the kernel writes a space in a mount point as \040


def storage_places(devices: Devices, process: Path | None) -> frozenset[str]:
    """Name pools, mount points as QEMU (its folder of /proc) sees them, or folders where they cannot be seen."""
    mounts = list(_mounts(process)) if process is not None else []
    return frozenset(
        f"pool {disk.pool}" if disk.pool else _place(disk.path, mounts)
        for disk in devices.places
        if disk.pool or disk.path
    )


def _place(path: str, mounts: Iterable[str]) -> str:
    folder = path.rpartition("/")[0]
    if path.startswith("/dev/"):
        return folder  # of a volume group: all block devices share the mount, and not their storage
    around = [mount for mount in mounts if f"{folder}/".startswith(f"{mount.rstrip('/')}/")]
    return max(around, key=len, default=folder)


def _mounts(process: Path) -> Iterator[str]:
    """Yield mount points, as text: a node with many VMs has hundreds, and each VM sees them all."""
    try:
        lines = (process / "mountinfo").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        yield _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 8)), line.split(" ", 5)[4])
