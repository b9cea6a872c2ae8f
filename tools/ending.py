"""An end that was asked for: nothing more is started or waited for, so that cleaning up starts at once."""

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

from tools.errors import ToolError
from tools.progress import note

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_asked = threading.Event()


def listen() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP unwind the main thread."""
    for number in ENDINGS:
        signal.signal(number, _unwind)


def refuse_if_asked(what: str) -> None:
    """Raise ToolError on threads beside the main one when the end was asked for, instead of going on with `what`."""
    if _asked.is_set() and threading.current_thread() is not threading.main_thread():
        raise ToolError(f"Ended while {what}.")


def _unwind(number: int, _: FrameType | None) -> None:
    """Unwind, so that what was started is ended; once, or what ends it would be cut off itself."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    _asked.set()
    _end_commands()
    if number == signal.SIGINT:
        note("interrupted: ending what was started")
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _end_commands() -> None:
    """End what other threads wait for: commands of this session. The lab's parts have sessions of their own."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            _, parent, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if (int(parent), int(session)) == (os.getpid(), os.getsid(0)):
                os.kill(int(folder.name), signal.SIGTERM)
