"""Judge a recording by policies: what would have fired, when and where, with a page of charts.

A recording is what `virtwatch record` writes. The engines are those of the agent.
"""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take policies, the recording, and where the page goes."""
    parser.add_argument("policies", nargs="+", type=Path, metavar="POLICY", help="policy files, or folders of them")
    parser.add_argument(
        "--samples",
        action="extend",
        nargs="+",
        type=Path,
        required=True,
        metavar="FILE",
        help="recordings, oldest first; - is standard input",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with a chart of each alert")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format (default: text)")


def run(arguments: argparse.Namespace) -> int:
    """Print each transition and a summary; return 1 for input that cannot be read."""
    from virtwatch_cli.backtest.driver import backtest
    from virtwatch_cli.backtest.recordings import BacktestError

    try:
        backtest(arguments.policies, arguments.samples, page=arguments.html, as_json=arguments.output == "json")
    except BacktestError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
