"""The `virtwatch` command: one module per subcommand, each importing what it needs when it runs."""

import argparse
import os
import sys
from collections.abc import Sequence

from virtwatch_api import __version__
from virtwatch_cli import check, events, signals, watch

SUBCOMMANDS = {"watch": watch, "check": check, "signals": signals, "events": events}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subcommand that the command line names; return its exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`); the interpreter must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


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
