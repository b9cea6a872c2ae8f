"""Tell the story on standard output: chapters, sentences, and commands with what they printed."""

import shlex
import time
from collections.abc import Sequence

from lab.controlplane.cluster import ControlPlane

RULE = "─"


class Teller:
    """Write for a person who reads along; every line is out before the next thing happens."""

    def __init__(self, *, started: float) -> None:
        """`started` is when the story began, in monotonic seconds."""
        self._started = started
        self._chapters = 0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def chapter(self, title: str) -> None:
        """Begin a chapter, with the time since the start."""
        self._chapters += 1
        head = f"{RULE * 2} {self._chapters}. {title} "
        self._print(f"\n{head}{RULE * max(2, 88 - len(head))} {self.elapsed:.0f} s\n")

    def say(self, *lines: str) -> None:
        """Write sentences."""
        self._print("\n".join(lines))

    def kubectl(self, control_plane: ControlPlane, *args: str, since: str = "") -> None:
        """Run kubectl, show it as a person would type it, and what it printed; `since` leaves out what is before."""
        cut = f" | sed -n '/^{since}/,$p'" if since else ""
        self._print(f"$ kubectl {shlex.join(args)}{cut}")
        printed = control_plane.kubectl(*args).stdout
        self._print(printed[printed.index(f"\n{since}") + 1 :].rstrip() if since else printed.rstrip())
        self._print("")

    def block(self, lines: Sequence[str]) -> None:
        """Write lines as they are, with room below them."""
        self._print("\n".join(lines) + "\n")

    def _print(self, text: str) -> None:
        print(text, flush=True)
