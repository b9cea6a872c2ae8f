"""A file system of blank disks that hangs when its server is stopped (SIGSTOP), as one over the network does.

Run as a program it mounts itself and serves until it is ended. It speaks the kernel's FUSE protocol, as much of it as
libvirt and QEMU need of a raw disk.
"""

import argparse
import ctypes
import errno
import os
import stat
import struct
from pathlib import Path

from lab.guests.disk import DISK_BYTES

_HEADER = struct.Struct("<IIQQIIIHH")  # length, operation, number, node, uid, gid, pid, and two that nobody needs
_ROOT = 1
_BUFFER = (1 << 20) + 4096
_LOOKUP, _FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE, _STATFS, _RELEASE = 1, 2, 3, 4, 14, 15, 16, 17, 18
_FSYNC, _FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR, _INTERRUPT, _DESTROY, _BATCH_FORGET = (
    *(20, 25, 26, 27, 28, 29, 36, 38, 42),
)
_UNANSWERED = {_FORGET, _INTERRUPT, _DESTROY, _BATCH_FORGET}
_EMPTY = {_RELEASE, _FSYNC, _FLUSH, _READDIR, _RELEASEDIR}
_VERSION = (7, 31)


def mount(folder: Path) -> int:
    """Mount at a folder; return the descriptor that its requests come from."""
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"blank-disks", bytes(folder), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"cannot mount at {folder}")
    return descriptor


class BlankDisks:
    """Answer requests: a folder in which every name is a disk full of zeros that forgets what is written."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, int] = {}

    def serve(self, descriptor: int) -> None:
        """Answer until the file system is unmounted."""
        while True:
            try:
                request = os.read(descriptor, _BUFFER)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):  # who asked has gone
                    continue
                return
            _, operation, number, node, *_ = _HEADER.unpack_from(request)
            if operation not in _UNANSWERED:
                answer = self._answer(operation, node, request[_HEADER.size :])
                code, body = (-answer, b"") if isinstance(answer, int) else (0, answer)
                os.write(descriptor, struct.pack("<IiQ", 16 + len(body), code, number) + body)

    def _answer(self, operation: int, node: int, body: bytes) -> bytes | int:
        """Return an answer, or the number of an error."""
        if operation == _LOOKUP:
            node = self._nodes.setdefault(body.rstrip(b"\0"), len(self._nodes) + _ROOT + 1)
            return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + _attributes(node)
        if operation in (_GETATTR, _SETATTR):
            return struct.pack("<QII", 0, 0, 0) + _attributes(node)
        if operation == _READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return bytes(max(0, min(size, DISK_BYTES - offset)))
        if operation == _WRITE:
            return struct.pack("<II", struct.unpack_from("<QQI", body)[2], 0)
        if operation in (_OPEN, _OPENDIR):
            return struct.pack("<QII", 0, 0, 0)
        if operation == _INIT:
            return struct.pack("<4I2HII2HI28x", *_VERSION, 1 << 16, 0, 16, 12, 1 << 16, 1, 16, 0, 0)
        if operation == _STATFS:
            return struct.pack("<5Q4I24x", 1 << 20, 1 << 19, 1 << 19, 1 << 10, 1 << 9, 4096, 255, 4096, 0)
        return b"" if operation in _EMPTY else errno.ENOSYS


def _attributes(node: int) -> bytes:
    mode, size = (stat.S_IFDIR | 0o755, 0) if node == _ROOT else (stat.S_IFREG | 0o600, DISK_BYTES)
    return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def main() -> None:
    """Serve at the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    BlankDisks().serve(mount(parser.parse_args().folder))


if __name__ == "__main__":
    main()
