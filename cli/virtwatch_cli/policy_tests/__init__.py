"""Run unit tests of policies: input series and events, and the alerts that are expected.

A test file is YAML; docs/testing-policies.md describes it. The engines are those of the agent.
"""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the test files."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="test files")


def run(arguments: argparse.Namespace) -> int:
    """Run each test; return 1 when one fails or cannot be read."""
    from virtwatch_cli.policy_tests.document import PolicyTestError
    from virtwatch_cli.policy_tests.runner import run_file

    failed = passed = 0
    for path in arguments.files:
        try:
            results = run_file(path)
        except PolicyTestError as error:
            print(f"error: {path}: {error}", file=sys.stderr)
            failed += 1
            continue
        for result in results:
            print(f"{'FAIL' if result.failures else 'ok'}    {path}: {result.name}")
            for failure in result.failures:
                print(f"        {failure}")
            failed += bool(result.failures)
            passed += not result.failures
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
