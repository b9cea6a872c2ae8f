"""Records the load that `tools/bench/modes.py` replays: `python -m tools.bench.record` takes ten minutes.

A process that is idle, peaks and is busy by plan, on whatever else the machine does, as the kernel counts it.
"""

import gzip
import json
import os
import random
import subprocess
import sys
import time

from tools.bench.replay import RECORDING

LENGTH_S = 600
EVERY_S = 0.25
SLICE_S = 0.05
INCIDENTS_S = (75, 210, 353, 488)
INCIDENT_S = 45
RAMP_S = 20  # of every second incident; the others come at once
PERIOD_S = 15  # a peak of a second that comes in step with the interval


def share(at: float, noise: random.Random) -> float:
    """Return the share of a CPU that is wanted at an instant."""
    wanted = 0.12 + noise.uniform(-0.04, 0.04) + (0.3 if int(at) % PERIOD_S == 7 else 0.0)
    for number, start in enumerate(INCIDENTS_S):
        if start <= at < start + INCIDENT_S:
            wanted += 0.95 * min(1.0, (at - start + 0.1) / (RAMP_S if number % 2 else 0.1))
    return min(1.0, wanted)


def burn() -> None:
    """Use the CPU by plan."""
    noise, began = random.Random(1), time.monotonic()
    while (at := time.monotonic() - began) < LENGTH_S:
        end, enough = time.monotonic() + SLICE_S, time.process_time() + SLICE_S * share(at, noise)
        while time.process_time() < enough and time.monotonic() < end + 0.4 * SLICE_S:
            pass
        time.sleep(max(0.0, end - time.monotonic()))


def record() -> None:
    """Write what the kernel says of such a process: seconds, and nanoseconds that it ran and waited."""
    rows = []
    with subprocess.Popen(["nice", "-n", "-8", sys.executable, "-m", "tools.bench.record", "burn"]) as process:
        descriptor = os.open(f"/proc/{process.pid}/schedstat", os.O_RDONLY)
        began = time.monotonic()
        while process.poll() is None:
            ran, waited, _ = os.pread(descriptor, 128, 0).split()
            rows.append((round(time.monotonic() - began, 3), int(ran), int(waited)))
            time.sleep(max(0.0, began + len(rows) * EVERY_S - time.monotonic()))
        os.close(descriptor)
    with gzip.open(RECORDING, "wt") as file:
        json.dump(rows, file)


if __name__ == "__main__":
    burn() if sys.argv[1:] == ["burn"] else record()
