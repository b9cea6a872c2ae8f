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
case "$*" in "-m pytest"*) echo "==== $RESULT in 0.01s ===="; [ "$RESULT" = "1 passed" ] || exit 1;; esac
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


def _run(checkout: Path, *command: str, result: str = "1 passed") -> tuple[subprocess.CompletedProcess[str], list[str]]:
    calls = checkout / "calls"
    calls.write_text("")
    env = {"PATH": os.environ["PATH"], "PYTHON": f"{checkout}/.venv/bin/python", "CALLS": str(calls), "RESULT": result}
    ran = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False)
    return ran, calls.read_text().splitlines()


@pytest.mark.parametrize(("result", "code"), [("1 passed", 0), ("1 failed", 2)])  # make's own
def test_pytests_closing_line_is_the_last_that_ci_says(checkout: Path, result: str, code: int) -> None:
    ran, _ = _run(checkout, ".ci/run", result=result)

    assert ran.returncode == code
    assert ran.stdout.splitlines()[-1] == f"==== {result} in 0.01s ===="
    assert ran.stderr == ""


def test_ci_runs_what_make_lint_make_test_and_make_e2e_run(checkout: Path) -> None:
    parts = [_run(checkout, "make", target)[1] for target in ("lint", "test", "e2e")]
    _, ci = _run(checkout, ".ci/run")

    assert [any("-m pytest" in call for call in calls) for calls in parts] == [False, True, True]
    assert ci == [call for calls in parts for call in calls]


def test_ci_runs_nothing_after_what_failed(checkout: Path) -> None:
    _, ci = _run(checkout, ".ci/run", result="1 failed")

    assert len([call for call in ci if "-m pytest" in call]) == 1


def test_what_make_starts_keeps_what_it_compiled() -> None:
    """Images of Python set the variable; without compiled modules each start of an operator takes twice the CPU."""
    shown = subprocess.run(
        ["make", "--silent", "--eval=shown: ; @env", "shown"],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert "PATH=" in shown
    assert "PYTHONDONTWRITEBYTECODE" not in shown
