"""Print CPU, memory and disk I/O of this host, a line each second, from the agent's own collectors.

Needs no libvirt and no policy. Ctrl-C ends it.
"""

import argparse
import math

_LEAST_S, _MOST_S = 0.1, 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take how often, how many times, and the output's format."""
    parser.add_argument(
        "--interval", type=_interval, default=1.0, metavar="SECONDS", help="between two lines (default: 1)"
    )
    parser.add_argument("--count", type=_count, metavar="LINES", help="end after so many (default: at Ctrl-C)")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="format (default: table)")


def run(arguments: argparse.Namespace) -> int:
    """Print until a signal or the last line ends it."""
    from virtwatch_cli.host.session import show

    show(interval=arguments.interval, count=arguments.count, as_json=arguments.output == "json")
    return 0


def _interval(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = math.nan
    if not _LEAST_S <= seconds <= _MOST_S:
        raise argparse.ArgumentTypeError(f'must be seconds from {_LEAST_S:g} to {_MOST_S:g}, as in 0.5, not "{text}"')
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000_000:
        raise argparse.ArgumentTypeError(f'must be a whole number from 1, not "{text}"')
    return int(text)
