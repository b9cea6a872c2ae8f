import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Stands for every tool in .venv: notes how it was called, and fails as pytest does.
STAND_IN = """\
#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
[ "$*" != "-m pytest" ] || { echo "==== 1 failed in 0.01s ===="; exit 1; }
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a checkout of nothing but the Makefile and .ci/run, with stand-ins for the tools that they start."""
    (tmp_path / ".ci").mkdir()
    for name in ("Makefile", ".ci/run"):
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in ("python", "ruff", "mypy", "lint-imports"):
        (tools / name).write_text(STAND_IN)
        (tools / name).chmod(0o755)
    return tmp_path


def _run(checkout: Path, *command: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    calls = checkout / "calls"
    calls.write_text("")
    env = {"PATH": os.environ["PATH"], "PYTHON": f"{checkout}/.venv/bin/python", "CALLS": str(calls)}
    ran = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False)
    return ran, calls.read_text().splitlines()


def test_a_failed_test_is_the_last_that_ci_says(checkout: Path) -> None:
    ran, _ = _run(checkout, ".ci/run")

    assert ran.returncode == 2  # make's
    assert ran.stdout.splitlines()[-1] == "==== 1 failed in 0.01s ===="
    assert ran.stderr == ""


def test_ci_runs_what_make_lint_and_make_test_run(checkout: Path) -> None:
    _, lint = _run(checkout, "make", "lint")
    _, test = _run(checkout, "make", "test")
    _, ci = _run(checkout, ".ci/run")

    assert "python -m pytest" in test
    assert ci == lint + test
