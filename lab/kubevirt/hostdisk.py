"""A disk of one node that runs out of room when asked: a VM on it (hostDisk) meets a real I/O error."""

import os
import subprocess
from pathlib import Path

from lab.kubevirt.images import QEMU_UID
from lab.node.node import Node

DISK_BYTES = 16 << 20
# The file system has room for the whole disk, until `fill` takes the room away.
ROOM_BYTES = DISK_BYTES + (4 << 20)
ROOM_LEFT_BYTES = 2 << 20
FOLDER = Path("/var/lib/disks")


class HostDisk:
    """A sparse disk image on a small file system of its own; both end with the node's power."""

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self._folder = FOLDER / name
        self.path = self._folder / "disk.img"
        """Where the node, and so a VmSpec's `host_disk`, finds it."""

    def make(self) -> None:
        """Make file system and disk."""
        inside = self._node.namespace
        inside.run("mkdir", "-p", self._folder)
        inside.run("mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES},mode=755", "tmpfs", self._folder)
        with self._outside(self.path).open("wb") as disk:
            disk.truncate(DISK_BYTES)
        for path in (self._folder, self.path):
            os.chown(self._outside(path), QEMU_UID, QEMU_UID)

    def fill(self) -> None:
        """Take all but a little room away: what the guest then writes ends in ENOSPC, and QEMU pauses it."""
        self.free()
        # What an earlier fill wrote would be overwritten in place, without an error.
        disk = self._outside(self.path)
        subprocess.run(["fallocate", "--punch-hole", f"--length={DISK_BYTES}", disk], check=True)
        space = os.statvfs(self._outside(self._folder))
        with self._ballast.open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, space.f_bavail * space.f_frsize - ROOM_LEFT_BYTES)

    def free(self) -> None:
        """Give the room back. The guest stays paused until it is unpaused, and then completes its writes."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self._outside(self._folder / "ballast")

    def _outside(self, inside: Path) -> Path:
        return self._node.namespace.path(inside)
