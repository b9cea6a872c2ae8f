"""The command `python -m lab` as a person runs it, and what it may leave behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.keep import ENV_FILE
from lab.process import RUN_VARIABLE
from tools.checkout import CHECKOUT

LIGHT_DEADLINE_S = 280


class Lab:
    """The command `python -m lab` with a folder of runs of its own."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._env = {**os.environ, "VIRTWATCH_RUN": str(runs)}

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-u", "-m", "lab", *arguments]
        return subprocess.Popen(
            command, cwd=CHECKOUT, env=self._env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run(self, *arguments: str, deadline: float = LIGHT_DEADLINE_S) -> str:
        """Run it to its end, which must be a good one; return all that it printed."""
        with self.begin(*arguments) as process:
            try:
                printed, _ = process.communicate(timeout=deadline)
            finally:
                process.kill()
        assert process.returncode == 0, printed
        return printed

    def processes(self, run: Path | None = None) -> dict[int, str]:
        """Give the command lines of all processes that belong to this run, or to any of ours."""
        mark = f"{RUN_VARIABLE}={run or self.runs}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def kill(self, name: str, *, run_of: "subprocess.Popen[str]") -> None:
        """Kill the one process whose command line has the name, among those that this command's run has."""
        [run] = [
            owner.parent
            for owner in self.runs.glob("*/owner.json")
            if json.loads(owner.read_text())["identity"].split()[0] == str(run_of.pid)
        ]
        [pid] = [pid for pid, command in self.processes(run).items() if name in command]
        os.kill(pid, signal.SIGKILL)


@contextmanager
def lab_of_its_own() -> Iterator[Lab]:
    """Make a folder of runs; in the end none of them runs."""
    # Short: sockets are below it. A file of a person's own kept run is not ours to replace.
    runs = Path(tempfile.mkdtemp(prefix="vw", dir="/tmp"))
    before = ENV_FILE.read_text() if ENV_FILE.exists() else None
    made = Lab(runs)
    yield made
    made.run("down")
    shutil.rmtree(runs)
    if before is not None:
        ENV_FILE.write_text(before)


def assert_nothing_is_left(lab: Lab) -> None:
    assert list(lab.runs.iterdir()) == []
    assert lab.processes() == {}
    assert str(lab.runs) not in Path("/proc/self/mountinfo").read_text()


def wait_for_line(process: "subprocess.Popen[str]", text: str) -> str:
    """Read what a process prints until a line holds the text; return all that was read."""
    assert process.stdout is not None
    read = []
    for line in process.stdout:
        read.append(line)
        if text in line:
            return "".join(read)
    raise AssertionError(f"{text!r} was not printed:\n{''.join(read)}")
