"""The `virtwatch` command: one module per subcommand, each importing what it needs when it runs."""

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from virtwatch_api import __version__
from virtwatch_cli import (
    backtest,
    channel,
    check,
    events,
    explain,
    host,
    policy_tests,
    record,
    score,
    signals,
    silence,
    watch,
)

SUBCOMMANDS = {
    "watch": watch,
    "check": check,
    "signals": signals,
    "events": events,
    "channel": channel,
    "silence": silence,
    "explain": explain,
    "host": host,
    "score": score,
    "record": record,
    "backtest": backtest,
    "test": policy_tests,
}

# A subcommand imports what an extra brings only when it runs, since no other needs it.
_INSTALL = "pip install 'virtwatch[cli,cluster]'"

# What write(2) says of an output that takes no more.
_NOT_WRITTEN = (errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subcommand that the command line names; return its exit code."""
    parsed = _parser().parse_args(arguments)
    if not _set_up_output():
        return 1
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        print(f"error: the Python package {error.name} is missing; {_INSTALL} brings it", file=sys.stderr)
        return 1
    except BrokenPipeError:
        _drop_output()  # whoever read it has seen enough (`| head`)
        return 0
    except OSError as error:
        if error.filename is not None or error.errno not in _NOT_WRITTEN:
            raise
        _drop_output()
        print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _set_up_output() -> bool:
    """Make both outputs take any text; say it and return False where there is no standard output."""
    if sys.stderr is None:
        # Else a file that is opened later would take its number, and get what C libraries write there.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the whole run
    if sys.stdout is None:
        print("error: standard output is closed", file=sys.stderr)
        return False
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold what no encoding has
    return True


def _drop_output() -> None:
    """Keep the interpreter from trying once more to write what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtwatch", description="Watch the virtualization layer.")
    parser.add_argument("--version", action="version", version=f"virtwatch {__version__}")
    subparsers = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND", required=True)
    for name, module in SUBCOMMANDS.items():
        first_line = (module.__doc__ or "").partition("\n")[0]
        subparser = subparsers.add_parser(name, help=first_line, description=module.__doc__)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
