"""How long `make test` and `make e2e` take with everything built, and which tests take longest."""

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.bench.figure import Figure
from tools.checkout import CHECKOUT

GOALS_S = {"test": 600.0, "e2e": 1200.0}
SLOWEST = 10


def test_times() -> Iterator[Figure]:
    """Run each of the two and yield how long it took; its detail names the slowest tests."""
    for target, goal in GOALS_S.items():
        with TemporaryDirectory() as folder:
            report = Path(folder, "report.xml")
            started = time.monotonic()
            _make(target, report)
            took = time.monotonic() - started
            yield Figure(name=f"make {target}", value=took, unit="s", goal=goal, detail=_told(report.read_text()))


def _make(target: str, report: Path) -> None:
    environment = {**os.environ, "PYTEST_ADDOPTS": f"--junit-xml={report}"}
    # What it prints is progress: standard output is for figures. A red test is in the figure's detail.
    subprocess.run(["make", target], cwd=CHECKOUT, env=environment, stdout=sys.stderr, check=False)


def _told(report: str) -> str:
    """Say how many tests ran and failed, and which took longest, from a report in JUnit's form."""
    [suite] = ET.fromstring(report).iter("testsuite")
    tests = sorted(suite.iter("testcase"), key=lambda test: float(test.get("time", "0")), reverse=True)
    # What pytest calls a test ends with its group where tests run side by side.
    slowest = [f"{_name(test)} {float(test.get('time', '0')):.0f} s" for test in tests[:SLOWEST]]
    red = int(suite.get("failures", "0")) + int(suite.get("errors", "0"))
    return f"{len(tests)} tests, {red} red; slowest: {', '.join(slowest)}"


def _name(test: ET.Element) -> str:
    return re.sub(r"@[^@\]]*$", "", test.get("name", ""))
