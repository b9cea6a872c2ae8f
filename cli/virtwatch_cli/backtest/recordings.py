"""Reads recordings one after the other, packed or not."""

import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TextIO

from virtwatch_api.names import printable
from virtwatch_rules.recording import Reader, Recorded, RecordingError

STANDARD_INPUT = Path("-")


class BacktestError(Exception):
    """Say what is wrong with the input."""


def read_recordings(paths: Sequence[Path], reader: Reader) -> Iterator[Recorded]:
    """Read recordings one after the other.

    Raises:
        BacktestError: one cannot be read.
    """
    for path in paths:
        name = "standard input" if path == STANDARD_INPUT else printable(str(path))
        try:
            with _opened(path) as file:
                yield from reader.read(file, name=name)
        except RecordingError as error:
            raise BacktestError(f"{name}: {error}") from error
        except OSError as error:
            raise BacktestError(f"cannot read {name}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise BacktestError(f"{name} is not text in UTF-8") from error
        except (EOFError, zlib.error) as error:
            raise BacktestError(f"cannot read {name}: it is cut off or damaged ({error})") from error


def cut_off(name: str) -> str:
    """Say that the last line of a recording was left out."""
    return f"the last line of {name} is cut off and was left out"


def _opened(path: Path) -> AbstractContextManager[TextIO]:
    if path == STANDARD_INPUT:
        return nullcontext(sys.stdin)
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")
