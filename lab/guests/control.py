"""Ask a guest to do something, over its second serial port, and wait for its answer."""

import itertools
import socket
import time
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
        number = next(_numbers)
        match _answer(port, number, request):
            case "ok":
                return
            case "failed":
                raise ToolError(f"The guest at {port} refused {request!r}: init.sh does not know it, or it failed.")
            case _:
                continue
    raise ToolError(f"The guest at {port} did not answer {request!r} in {deadline:g} s.")


def _answer(port: Path, number: int, request: str) -> str | None:
    """Return the answer to one sending of the request, or None when there is none within `ANSWER_S`."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_S)
        try:
            line.connect(str(port))
            # An empty line first ends what an earlier sending may have left half read.
            line.sendall(f"\n{number} {request}\n".encode())
            with line.makefile() as answers:
                for answer in answers:
                    if answer.startswith(f"{number} "):
                        return answer.split()[1]
        except (OSError, UnicodeDecodeError):
            time.sleep(0.1)  # No QEMU yet, or silence: both pass.
    return None
