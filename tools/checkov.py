"""Judge manifests and Dockerfiles with checkov, in a folder of its own: it pins older libraries than .venv holds."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tools.cache import build_log, cached
from tools.checkout import CHECKOUT
from tools.commands import run_logged
from tools.errors import ToolError
from tools.progress import step

# `make lock` writes it. Wheels alone, so that nothing that it does not name is fetched to build another.
LOCK = Path(__file__).with_name("checkov.lock")
PIP = (
    *("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-compile"),
    *("--require-hashes", "--no-deps", "--only-binary=:all:"),
)
# Its own libraries alone (-P -S), and nothing of its vendor's service.
CHECKOV = ("-P", "-S", "-m", "checkov.main", "--skip-download", "--quiet", "--compact", "--output=json")
# 0: nothing found, 1: something found; else it broke.
JUDGED = (0, 1)

Framework = Literal["kubernetes", "dockerfile"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that failed, and on what: `Kind/name`, or a Dockerfile's path in the checkout."""

    check: str
    on: str


def checkov() -> Path:
    """Return the folder of checkov and its libraries, installing them when the cache does not hold them."""
    inputs: list[bytes | Path] = [LOCK, repr((PIP, sys.version_info[:2])).encode()]
    return cached("checkov", inputs, _install)


def findings(framework: Framework, *files: Path) -> frozenset[Finding]:
    """Return what checkov finds in the files; fail when it read none."""
    folder = checkov()
    argv = [sys.executable, *CHECKOV, f"--framework={framework}", "--file", *map(str, files)]
    # Neither a user's own configuration nor their account with the vendor counts.
    with tempfile.TemporaryDirectory(prefix="virtwatch-") as home:
        environment = {"PYTHONPATH": str(folder), "HOME": home}
        done = subprocess.run(argv, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in JUDGED:
        raise ToolError(f"checkov ended with {done.returncode}: {done.stdout}{done.stderr}")
    report = json.loads(done.stdout)
    # A report on nothing is a summary and no more.
    summary = report.get("summary", report)
    if summary["parsing_errors"] or not summary["resource_count"]:
        raise ToolError(f"checkov could not read {', '.join(map(str, files))}: {summary}")
    return frozenset(_finding(framework, failed) for failed in report["results"]["failed_checks"])


def _finding(framework: Framework, failed: dict[str, Any]) -> Finding:
    if framework == "dockerfile":
        return Finding(failed["check_id"], str(Path(failed["file_abs_path"]).relative_to(CHECKOUT)))
    kind, _namespace, name = failed["resource"].split(".", 2)
    return Finding(failed["check_id"], f"{kind}/{name}")


def _install(folder: Path) -> None:
    with step("Installing checkov, which judges the manifests", why="194 MB of Python packages, 20 s, once"):
        argv = [sys.executable, *PIP, "--target", str(folder), "--requirement", str(LOCK)]
        run_logged(argv, log=build_log("checkov"), cwd=CHECKOUT)
