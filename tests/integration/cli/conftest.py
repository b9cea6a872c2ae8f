"""The real command as a process, against the test driver that is built into libvirt: no daemon is needed."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

DEADLINE_S = 60.0
_STATES = ("Warning ", "Critical ", "pending ", "cannot tell ")


class Command:
    """A running `virtwatch`; its output is read as it comes."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None, before: Sequence[str] = ()) -> None:
        # Not $OTEL_*, $NO_COLOR and the like of whoever runs the tests.
        environment = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", **(env or {})}
        self.process = subprocess.Popen(
            # As a terminal starts it: a shell lets what it runs in the background ignore Ctrl-C.
            ["env", "--default-signal=INT", *before, sys.executable, "-m", "virtwatch_cli.__main__", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._heard: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        for reader in self._readers:
            reader.start()

    def line(self, wanted: str) -> str:
        """Wait for a line that holds a text, on either output; columns count as one space.

        A row of current values, which begins with how a rule stands, is none: what is told begins with its time.
        """
        return self._wait(lambda line: wanted in " ".join(line.split()) and not line.startswith(_STATES), wanted)

    def row(self, wanted: str) -> str:
        """Wait for a row of current values that holds a text."""
        return self._wait(lambda line: wanted in " ".join(line.split()) and line.startswith(_STATES), wanted)

    def document(self, **wanted: object) -> dict:
        """Wait for a line of JSON that holds these fields."""

        def fits(line: str) -> bool:
            return line.startswith("{") and wanted.items() <= json.loads(line).items()

        return json.loads(self._wait(fits, str(wanted)))

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """Send Ctrl-C; return the exit code."""
        self.process.send_signal(number)
        return self.exit_code()

    def exit_code(self) -> int:
        code = self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        return code

    @property
    def output(self) -> str:
        """Return everything that was said so far."""
        while not self._lines.empty():
            self._heard.append(self._lines.get())
        return "".join(self._heard)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def _read(self, stream) -> None:
        for line in stream:
            self._lines.put(line)

    def _wait(self, fits: Callable[[str], bool], wanted: str) -> str:
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            self._heard.append(line)
            if fits(line):
                return line
        raise AssertionError(f"{wanted!r} was not said within {DEADLINE_S} s; what was said:\n{self.output}")


Virtwatch = Callable[..., Command]


@pytest.fixture
def virtwatch(tmp_path: Path) -> Iterator[Virtwatch]:
    """Start the command; it is ended with the test, and so is what one that is killed leaves of its journal."""
    started = []

    def start(*arguments: object, env: dict[str, str] | None = None, before: Sequence[str] = ()) -> Command:
        env = {"TMPDIR": str(tmp_path), **(env or {})}
        started.append(Command(*map(str, arguments), env=env, before=before))
        return started[-1]

    yield start
    for command in started:
        command.end()


def rewrite(path: Path, text: str) -> None:
    """Replace a file at once: a command that looks meanwhile would find an empty one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Write a policy whose rule fires: the driver's VM, named test, uses half of its two CPUs all the time."""
    path = tmp_path / "policies" / "laptop.yaml"
    path.parent.mkdir()
    path.write_text(
        """\
apiVersion: virtwatch.io/v1alpha1
kind: MonitorPolicy
metadata: {name: laptop}
spec:
  collection: {interval: 1s}
  rules:
  - name: cpu-busy
    threshold:
      signal: vm.cpu.utilization
      warning: {above: "0.1"}
"""
    )
    return path
