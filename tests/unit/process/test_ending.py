"""What ends a process, in a process of its own."""

import signal
import subprocess
import sys

import pytest

CHILD = """
import os, signal, sys, threading
from virtwatch_process.ending import Ending

ending = Ending()
done = threading.Event()

def other():
    # The main thread may sleep by now, or be about to: neither wakes it up, as the kernel gives the signal to this one.
    {act}
    done.wait()

threading.Thread(target=other, daemon=True).start()
ending.wait()
print("ended")
"""
START_S = 60.0


def _run(act: str) -> subprocess.CompletedProcess[str]:
    child = [sys.executable, "-c", CHILD.format(act=act)]
    return subprocess.run(child, capture_output=True, text=True, timeout=START_S, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_another_thread_gets_ends_the_process(number: signal.Signals):
    ended = _run(f"signal.pthread_kill(threading.get_ident(), {int(number)})")
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr


def test_what_nohup_started_outlives_its_terminal():
    child = CHILD.format(act="os.kill(os.getpid(), signal.SIGHUP); print('on'); ending.set()")
    ended = subprocess.run(
        ["nohup", sys.executable, "-c", child], capture_output=True, text=True, timeout=START_S, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "on\nended\n"), ended.stderr


def test_a_part_ends_the_process_from_its_own_thread():
    ended = _run("ending.set()")
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr


def test_a_signal_that_came_before_anybody_waits_ends_it():
    child = CHILD.format(act="pass").replace(
        "threading.Thread", "os.kill(os.getpid(), signal.SIGTERM)\nthreading.Thread"
    )
    ended = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, timeout=START_S, check=False)
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr


def test_a_second_signal_does_not_wait_for_the_end():
    child = CHILD.format(act="pass") + "os.kill(os.getpid(), signal.SIGINT)\nos.kill(os.getpid(), signal.SIGINT)\n"
    child = child.replace("ending.wait()\n", "")
    ended = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, timeout=START_S, check=False)
    assert ended.returncode == -signal.SIGINT
