"""Whoever ends the lab does not wait for what it waits for."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.process import wait_for

WAITER = """
import subprocess, sys
from pathlib import Path
from tools import ending
from lab.guests.together import side_by_side
from lab.process import start, wait_for
folder = Path(sys.argv[1])
ending.listen()
try:
    side_by_side([
        lambda: wait_for(lambda: False, what="nothing", deadline=600),
        lambda: subprocess.run(["sh", "-c", f"touch {folder}/ready; exec sleep 600"], check=True),
        lambda: start("part", ["sh", "-c", f"trap 'touch {folder}/ended' TERM; sleep 600 & wait"], run_dir=folder),
    ])
finally:
    (folder / "cleaned").touch()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)])
def test_what_runs_side_by_side_ends_at_once_and_parts_are_left_to_who_cleans(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen([sys.executable, "-c", WAITER, str(tmp_path)], env=environment) as waiter:
        try:
            wait_for(lambda: (tmp_path / "ready").exists(), what="its command", deadline=60)
            wait_for(lambda: (tmp_path / "pids" / "part").exists(), what="its part", deadline=60)
            waiter.send_signal(number)
            ended = waiter.wait(timeout=60)
        finally:
            waiter.kill()
    part = int((tmp_path / "pids" / "part").read_text().split()[0])
    os.killpg(part, signal.SIGKILL)
    assert (tmp_path / "cleaned").exists()
    assert not (tmp_path / "ended").exists()
    assert ended == code
