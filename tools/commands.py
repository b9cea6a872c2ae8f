"""Run another program to its end, its output in a log; a failure shows the log's last lines."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.errors import ToolError

TAIL_LINES = 15


def run_logged(argv: Sequence[str | Path], *, log: Path, cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a command to its end with its output in `log`; fail with the log's last lines."""
    with log.open("wb") as out:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
        )
    if done.returncode != 0:
        command = " ".join(str(argument) for argument in argv[:3])
        raise ToolError(f"{command} ... ended with {done.returncode}:\n{tail(log)}", log=log)


def tail(log: Path) -> str:
    """Return the last lines of a log, indented; empty when there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16384))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"    {line[:400]}" for line in lines[-TAIL_LINES:])
