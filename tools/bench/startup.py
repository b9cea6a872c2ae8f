"""How long a person waits for `virtwatch watch`, from its start to its first line."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lab.installed.system import monitor_policy
from tools.bench.delays import BUSY_RULE
from tools.bench.figure import Figure, percentile, spread
from tools.errors import ToolError
from tools.progress import step

STARTS = 5
GOAL_S = 2.0
FIRST_LINE = "Watching "


def watch_start() -> Iterator[Figure]:
    """Start `virtwatch watch` on libvirt's built-in test driver, again and again."""
    with tempfile.TemporaryDirectory() as folder, step(f"Starting virtwatch watch {STARTS} times"):
        policy = Path(folder) / "policy.yaml"
        policy.write_text(json.dumps(monitor_policy("bench", "bench", BUSY_RULE)))
        times = [_start(policy) for _ in range(STARTS)]
    yield Figure(
        name="virtwatch watch, from its start to its first line, median",
        value=percentile(times, 0.5),
        unit="s",
        goal=GOAL_S,
        detail=f"{spread(times)}; test:///default, one policy",
    )


def _start(policy: Path) -> float:
    command = Path(sys.executable).with_name("virtwatch")
    begun = time.monotonic()
    with subprocess.Popen(
        [command, "watch", "--connect", "test:///default", "--file", policy],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        waited = time.monotonic() - begun
        process.terminate()
    if not line.startswith(FIRST_LINE):
        raise ToolError(f"virtwatch watch said {line!r} first, not {FIRST_LINE!r}")
    return waited
