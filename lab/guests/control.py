"""Ask a guest to do something, over its second serial port, and wait for its answer."""

import itertools
import socket
import time
from contextlib import suppress
from pathlib import Path

from tools.errors import ToolError

ANSWER_S = 1.0
_numbers = itertools.count(1)


def ask(port: Path, request: str, *, deadline: float) -> None:
    """Send a request until the guest says that it did it; every request may be repeated.

    A guest that boots, or whose port was just opened, loses what was sent before.
    """
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        match _answer(port, request, end=end):
            case "ok":
                return
            case "failed":
                raise ToolError(f"The guest at {port} refused {request!r}: init.sh does not know it, or it failed.")
            case _:
                time.sleep(0.1)  # No QEMU yet, or none any more: both pass.
    raise ToolError(f"The guest at {port} did not answer {request!r} in {deadline:g} s.")


def _answer(port: Path, request: str, *, end: float) -> str | None:
    """Send the request each `ANSWER_S` by one connection; return the answer to any of these, None when it ends.

    A slow guest may answer the first late, and power off before it has read the second.
    """
    sent: set[str] = set()
    received = bytearray()
    with socket.socket(socket.AF_UNIX) as line, suppress(OSError):
        line.settimeout(ANSWER_S)
        line.connect(str(port))
        while time.monotonic() < end:
            number = str(next(_numbers))
            sent.add(number)
            # An empty line first ends what an earlier sending may have left half read.
            line.sendall(f"\n{number} {request}\n".encode())
            until = time.monotonic() + ANSWER_S
            while (some := _receive(line, until)) is not None:
                if not some:
                    return None
                received += some
                for words in map(str.split, received.decode(errors="replace").split("\n")[:-1]):
                    if words[:1] and words[0] in sent and words[1:] in (["ok"], ["failed"]):
                        return words[1]
    return None


def _receive(line: socket.socket, until: float) -> bytes | None:
    """Return what comes until a time, None when nothing does; no bytes where the other end is closed."""
    rest = until - time.monotonic()
    if rest <= 0:
        return None
    line.settimeout(rest)
    try:
        return line.recv(4096)
    except TimeoutError:
        return None
