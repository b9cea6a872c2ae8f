"""Write an initramfs: a cpio archive in the "newc" format, the same bytes for the same content."""

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

MAGIC = b"070701"
TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the archive. `data` is a file's content or a symbolic link's target."""

    name: str
    mode: int
    data: bytes = b""

    @classmethod
    def folder(cls, name: str) -> Self:
        return cls(name, stat.S_IFDIR | 0o755)

    @classmethod
    def file(cls, name: str, data: bytes, *, executable: bool = False) -> Self:
        return cls(name, stat.S_IFREG | (0o755 if executable else 0o644), data)

    @classmethod
    def link(cls, name: str, target: str) -> Self:
        return cls(name, stat.S_IFLNK | 0o777, target.encode())


def archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive of these entries, in their order: a folder comes before what it holds."""
    numbered = enumerate([*entries, Entry(TRAILER, 0)], start=1)
    return b"".join(_record(inode, entry) for inode, entry in numbered)


def _record(inode: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # uid, gid and time are 0: they would make the bytes depend on the builder.
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
    header = MAGIC + b"".join(b"%08x" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
