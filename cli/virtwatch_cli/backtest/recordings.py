"""Reads recordings one after the other, packed or not."""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from virtwatch_rules.recording import Reader, Recorded, RecordingError


class BacktestError(Exception):
    """Say what is wrong with the input."""


def read_recordings(paths: Sequence[Path], reader: Reader) -> Iterator[Recorded]:
    """Read recordings one after the other.

    Raises:
        BacktestError: one cannot be read.
    """
    for path in paths:
        try:
            with _opened(path) as file:
                yield from reader.read(file)
        except RecordingError as error:
            raise BacktestError(f"{path}: {error}") from error
        except OSError as error:
            raise BacktestError(f"cannot read {path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise BacktestError(f"{path} is not text in UTF-8") from error


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")
