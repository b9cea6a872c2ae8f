"""Watch as `virtwatch watch` does, and write each value and event to a file for `virtwatch backtest`.

A value is written for each signal that the policies judge. Ctrl-C ends it.
"""

import argparse
import sys
from pathlib import Path

from virtwatch_cli import watch

_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_LEAST_BYTES = 2**16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take what `watch` takes, and the file."""
    watch.add_arguments(parser)
    parser.add_argument("--output-file", required=True, type=Path, metavar="FILE", help="where the recording goes")
    parser.add_argument(
        "--max-size", type=_size, default=100 * 2**20, metavar="SIZE", help="of one file, as in 100Mi (default: 100Mi)"
    )
    parser.add_argument(
        "--files",
        type=_count,
        default=4,
        metavar="COUNT",
        help="files that are kept, with the newest: what FILE held before is FILE.1 (default: 4)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Record until a signal ends it."""
    from virtwatch_cli.record.recorder import Recorder
    from virtwatch_cli.record.rotating import RotatingFile
    from virtwatch_cli.watch.session import watch as watching

    path: Path = arguments.output_file
    try:
        with RotatingFile(path, most_bytes=arguments.max_size, most_files=arguments.files) as file:
            recorder = Recorder(file.write, begin=file.begin, failed=lambda why: _not_whole(path, why))
            code = watching(
                files=arguments.file,
                uris=tuple(arguments.connect or ()),
                as_json=arguments.output == "json",
                state=arguments.state,
                values_every=arguments.values_every,
                recorder=recorder,
                guest_agent=arguments.guest_agent,
            )
            recorder.close()
    except OSError as error:
        if error.filename is None:
            raise  # of standard output
        print(f"error: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    if recorder.problem:
        return 1
    if not recorder.begun:
        return code  # what is wrong was said, and nothing was touched
    print(f"recorded {recorder.lines} lines to {path}", file=sys.stderr)
    return code


def _not_whole(path: Path, why: str) -> None:
    print(f"error: the recording {path} is not whole: {why}; what follows is not recorded", file=sys.stderr, flush=True)


def _size(text: str) -> int:
    number, unit = (text[:-2], text[-2:]) if text[-2:] in _UNITS else (text, "")
    if not number.isdecimal() or int(number) * _UNITS.get(unit, 1) < _LEAST_BYTES:
        raise argparse.ArgumentTypeError(f'must be a size of at least 64Ki, as in 100Mi, not "{text}"')
    return int(number) * _UNITS.get(unit, 1)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f'must be a number from 1 to 1000, not "{text}"')
    return int(text)
