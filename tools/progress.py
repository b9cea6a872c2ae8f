"""Show what the lab is doing and for how long, on a terminal and in a pipe; steps may run side by side."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

TERMINAL_PERIOD_S = 0.5
PIPE_PERIOD_S = 15.0

# A signal may interrupt whoever holds it, to say that it came.
_lock = threading.RLock()
# Steps that run now, the newest last: it alone counts its seconds, and each says its title again when others ran.
_running: list["_Step"] = []
# The step that this thread works on, which it may give details of.
_own = threading.local()


class _Step:
    def __init__(self, title: str) -> None:
        self.title = title
        self.alone = True
        self.detail: Callable[[], str] | None = None
        self.started = time.monotonic()
        self.ended = threading.Event()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


@contextmanager
def step(title: str, *, why: str = "") -> Iterator[None]:
    """Announce a step on standard error, count its seconds while it runs, and say how it ended.

    Standard output stays free for results. An exception passes through; its message (a ToolError's names the log) is
    printed by whoever ends the program.
    """
    out = sys.stderr
    this, outer = _Step(title), getattr(_own, "step", None)
    _own.step = this
    _begin(out, this, why)
    ticker = threading.Thread(target=_tick, args=(out, this), name="progress", daemon=True)
    ticker.start()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        this.ended.set()
        ticker.join()
        _own.step = outer
        _end(out, this, outcome)


def detail(how_far: Callable[[], str]) -> None:
    """Let the step that this thread works on say how far it is, beside its seconds."""
    if (own := getattr(_own, "step", None)) is not None:
        own.detail = how_far


def note(text: str) -> None:
    """Print one line beside the steps, for what a person should know."""
    with _lock:
        _say(sys.stderr, f"    {text}")


def _begin(out: TextIO, this: _Step, why: str) -> None:
    with _lock:
        _running.append(this)
        for other in _running[:-1]:
            other.alone = this.alone = False
        _say(out, f"==> {this.title} ..." + (f" ({why})" if why else ""))


def _end(out: TextIO, this: _Step, outcome: str) -> None:
    with _lock:
        _running.remove(this)
        what = "" if this.alone else f"{this.title}: "
        _say(out, f"    {what}{outcome} {this.seconds:.1f} s")


def _tick(out: TextIO, this: _Step) -> None:
    live = out.isatty()
    while not this.ended.wait(TERMINAL_PERIOD_S if live else PIPE_PERIOD_S):
        with _lock:
            if _running and _running[-1] is this:
                details = (other.detail() for other in _running if other.detail)
                line = "; ".join([f"    {this.seconds:.0f} s", *details])
                _say(out, line[: shutil.get_terminal_size().columns - 1] if live else line, end="" if live else "\n")


def _say(out: TextIO, text: str, *, end: str = "\n") -> None:
    # On a terminal it replaces the seconds that stand on the line.
    start = "\r\x1b[K" if out.isatty() else ""
    with suppress(OSError):  # A terminal that was closed must not keep anyone from cleaning up.
        out.write(start + text + end)
        out.flush()
