"""A file of lines that is bounded: full, it is renamed to FILE.1, that to FILE.2, and the oldest is removed."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO


class RotatingFile:
    """Write lines; what the file held before is kept as FILE.1."""

    def __init__(self, path: Path, *, most_bytes: int, most_files: int) -> None:
        """Touch nothing before `begin`."""
        self._path = path
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._file: TextIO | None = None
        self._bytes = 0

    def begin(self) -> None:
        """Begin an empty file.

        Raises:
            OSError: it cannot be written.
        """
        if self._path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self._path))
        if self._path.is_file() and self._path.stat().st_size:
            self._rename()
        self._file = self._path.open("w", encoding="utf-8")
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # what could not be written was said by `write`
                self._file.close()

    def write(self, lines: list[str]) -> None:
        """Write whole lines, and let readers see them.

        Raises:
            OSError: the file system takes no more.
        """
        assert self._file is not None, "begin() comes first"
        for line in lines:
            size = len(line.encode()) + 1
            if self._bytes and self._bytes + size > self._most_bytes:
                self._file.close()
                self.begin()
            self._file.write(f"{line}\n")
            self._bytes += size
        self._file.flush()

    def _rename(self) -> None:
        for number in range(self._most_files - 1, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path
