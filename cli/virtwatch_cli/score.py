"""Score a recorded series for anomalies: one line out per line in, from what the lines before it taught, none after."""

import argparse
import csv
import io
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from virtwatch_rules.anomaly.detector import MOST_VALUE, Detector, Score

_HEADER = ("timestamp", "value", "score", "lower", "upper")


class InputError(Exception):
    """Say what is wrong with the input."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the file."""
    parser.add_argument(
        "--input", required=True, type=Path, metavar="FILE", help="CSV with the columns timestamp and value; - is stdin"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print timestamp, value, score (0 to 1, 0 while warming up) and the expected band; return 1 for bad input."""
    path: Path = arguments.input
    name = "standard input" if str(path) == "-" else str(path)
    try:
        with _opened(path) as file:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(_HEADER)
            old = 0
            detector = Detector()
            for timestamp, value, at, number in _rows(file):
                old += at <= detector.last
                scored = detector.take(at, number)
                writer.writerow((timestamp, value, f"{scored.score:.6f}", *_band(scored)))
    except InputError as error:
        return _fail(f"{name}: {error}")
    except OSError as error:
        if error.filename is None:
            raise  # of the output
        return _fail(f"cannot read {name}: {error.strerror}")
    except UnicodeDecodeError:
        return _fail(f"{name} is not text in UTF-8; save the file as CSV in UTF-8")
    if old:
        print(f"warning: {old} lines of {name} are not newer than a line above; scored, not learned", file=sys.stderr)
    return 0


def _opened(path: Path) -> AbstractContextManager[TextIO]:
    if str(path) == "-":
        if sys.stdin is None:
            raise InputError("is closed")
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict", newline="")  # whatever the locale: as a file
        return nullcontext(sys.stdin)
    return path.open(encoding="utf-8-sig", newline="")


def _fail(message: str) -> int:
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr)
    return 1


def _band(scored: Score) -> tuple[str, str]:
    if scored.lower is None or scored.upper is None:
        return "nan", "nan"
    return f"{scored.lower:.6g}", f"{scored.upper:.6g}"


def _rows(file: Iterable[str]) -> Iterator[tuple[str, str, float, float]]:
    """Yield each line's timestamp and value as they are written, and what they mean; a missing value is NaN."""
    reader = csv.reader(file)
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        if "timestamp" not in header or "value" not in header:
            found = ",".join(header) if header else "nothing"
            raise InputError(
                f'line 1: the header must name the columns timestamp and value, as in "timestamp,value"; '
                f"it holds {found}"
            )
        time_column, value_column = header.index("timestamp"), header.index("value")
        for row in reader:
            if not row:
                continue
            if len(row) <= max(time_column, value_column):
                raise InputError(f"line {reader.line_num}: has {len(row)} columns, the header has {len(header)}")
            timestamp, value = row[time_column], row[value_column]
            yield timestamp, value, _time(timestamp, reader.line_num), _number(value, reader.line_num)
    except csv.Error as error:
        raise InputError(f"line {reader.line_num}: is not CSV: {error}") from error


def _time(text: str, line: int) -> float:
    """Read a time; one without an offset is in UTC."""
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(
            f'line {line}: "{text}" is no time; write ISO 8601 or YYYY-MM-DD HH:MM:SS, as in "2026-11-23 10:00:00"'
        ) from error
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _number(text: str, line: int) -> float:
    """Read a value; an empty one, or NaN, is missing."""
    if not text.strip():
        return math.nan
    try:
        number = float(text)
    except ValueError as error:
        raise InputError(f'line {line}: "{text}" is no number; leave a missing value empty') from error
    if math.isinf(number):
        raise InputError(f"line {line}: the value is infinite; leave a missing value empty")
    if abs(number) > MOST_VALUE:
        raise InputError(f"line {line}: {text.strip()} is too large to be scored; write the values in a larger unit")
    return number
