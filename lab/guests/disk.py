"""A disk that runs out of room when asked: who writes to it meets a real I/O error."""

import os
import subprocess
from pathlib import Path

from lab.guests.namespace import Namespace

DISK_BYTES = 16 << 20
# The file system that holds the disk has room for all of it, until `fill` takes the room away.
ROOM_BYTES = DISK_BYTES + (4 << 20)
ROOM_LEFT_BYTES = 2 << 20


class Disk:
    """A sparse image alone on a small file system; both end with the namespaces that they are in."""

    def __init__(self, namespace: Namespace, path: Path, *, uid: int) -> None:
        """`path` is where those in the namespaces find it; its folder is the disk's own. `uid` owns it."""
        self.path = path
        self._uid = uid
        self._namespace = namespace
        self._outside = namespace.path(path)
        self._ballast = self._outside.with_name("ballast")

    def make(self) -> None:
        """Make folder, file system and disk."""
        folder, owned = self.path.parent, f"uid={self._uid},gid={self._uid}"
        self._namespace.run("mkdir", "-p", folder)
        self._namespace.run("mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES},{owned},mode=755", "tmpfs", folder)
        with self._outside.open("wb") as disk:
            disk.truncate(DISK_BYTES)
        os.chown(self._outside, self._uid, self._uid)

    def fill(self) -> None:
        """Take all but a little room away: what a guest then writes ends in ENOSPC, and QEMU pauses it."""
        self.free()
        # What an earlier fill wrote would be overwritten in place, without an error.
        subprocess.run(["fallocate", "--punch-hole", f"--length={DISK_BYTES}", self._outside], check=True)
        space = os.statvfs(self._outside)
        with self._ballast.open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, space.f_bavail * space.f_frsize - ROOM_LEFT_BYTES)

    def free(self) -> None:
        """Give the room back. The guest stays paused until it is resumed, and then completes its writes."""
        self._ballast.unlink(missing_ok=True)
