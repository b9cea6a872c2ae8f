"""When a process rests: what a demo waits for before it loads a guest."""

import sys
import time

from lab.process import RESTING_S, start, wait_resting

BUSY_S = 2.0
BUSY = f"import time; end = time.process_time() + {BUSY_S}\nwhile time.process_time() < end: pass\ntime.sleep(600)"


def test_a_process_rests_once_it_has_used_little_cpu_for_a_while(tmp_path):
    began = time.monotonic()
    # Before all others: one that is to compute and cannot for 1.5 s looks as if it rested.
    process = start("busy", ["nice", "--adjustment=-19", sys.executable, "-c", BUSY], run_dir=tmp_path)
    try:
        wait_resting(process.pid, what="it")
        assert time.monotonic() - began >= BUSY_S + RESTING_S * 0.9
    finally:
        process.kill()
