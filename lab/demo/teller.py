"""Tell the story on standard output: chapters, sentences, and commands with what they printed."""

import shlex
import time
from collections.abc import Sequence

from lab.controlplane.cluster import ControlPlane

RULE = "─"


class Teller:
    """Write for a person who reads along; every line is out before the next thing happens."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._chapters = 0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def chapter(self, title: str) -> None:
        """Begin a chapter, with the time since the start."""
        self._chapters += 1
        head = f"{RULE * 2} {self._chapters}. {title} "
        print(f"\n{head}{RULE * max(2, 88 - len(head))} {self.elapsed:.0f} s\n", flush=True)

    def say(self, *lines: str) -> None:
        """Write sentences."""
        print("\n".join(lines), flush=True)

    def block(self, lines: Sequence[str]) -> None:
        """Write lines as they are, with room below them."""
        print("\n".join(lines) + "\n", flush=True)

    def kubectl(self, control_plane: ControlPlane, *args: str, since: str = "") -> None:
        """Run kubectl, show it as a person would type it, and what it printed; `since` leaves out what is before."""
        cut = f" | sed -n '/^{since}/,$p'" if since else ""
        printed = control_plane.kubectl(*args).stdout.rstrip()
        self.block(
            [f"$ kubectl {shlex.join(args)}{cut}", printed[printed.index(f"\n{since}") + 1 :] if since else printed]
        )
