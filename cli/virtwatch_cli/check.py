"""Say what is wrong in policy files: file, line, field and reason."""

import argparse
import sys
from pathlib import Path

from virtwatch_cli.policy_files import list_policy_files, read_policy_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the files."""
    parser.add_argument(
        "-f",
        "--file",
        action="extend",
        nargs="+",
        type=Path,
        required=True,
        metavar="PATH",
        help="policy files, or folders of them",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print every finding and every policy that is right; return 1 when something is wrong or nothing is there."""
    right = wrong = 0
    for file in read_policy_files(list_policy_files(arguments.file)):
        for finding in file.findings:
            print(finding)
        for other in file.others:
            print(other)
        for thresholds in file.thresholds:
            rules = len(thresholds.rules)
            print(f"{file.path}: {thresholds.policy.kind} {thresholds.policy} is right ({rules} rules)")
        right, wrong = right + len(file.thresholds), wrong + len(file.findings)
    if not right and not wrong:
        print("error: there is no MonitorPolicy and no ClusterMonitorPolicy in these files", file=sys.stderr)
    return 0 if right and not wrong else 1
