"""Private namespaces for one libvirtd and its QEMUs: what happens in them leaves nothing on the machine.

Mounts, taps, bridges and processes inside end together with the first process, whatever ends it.
"""

import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from signal import SIGKILL
from typing import Self

from lab.process import Identity, Process, start, wait_for
from lab.rundir import RunDir
from tools.errors import ToolError

SETUP_DEADLINE_S = 60.0
END_DEADLINE_S = 60.0
# PID 1 inside: it adopts and reaps QEMUs, which libvirtd detaches. TERM must be caught: the kernel shields a PID 1.
HOLD = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"


class Namespace:
    """A mount, a PID and, on request, a network namespace, held open by one process."""

    def __init__(self, name: str, *, holder: Identity, process: Process | None) -> None:
        """`process` is the one that opened them, None where another program did."""
        self._name = name
        self._holder = holder
        self._process = process

    @classmethod
    def open(
        cls,
        name: str,
        *,
        run: RunDir,
        network: bool,
        setup: Sequence[Sequence[str | Path]],
        inside: Self | None = None,
    ) -> Self:
        """Make the namespaces and run the `setup` commands inside, as root; the first that fails is an error.

        `inside` others they start with those mounts, are seen in those processes, and end with them at the latest.
        """
        ready = run.path / f".{name}.ready"
        ready.unlink(missing_ok=True)
        commands = [shlex.join(map(str, command)) for command in (*setup, ("touch", ready))]
        script = "\n".join(["set -eu", *commands, HOLD])
        kinds = ["--mount", "--pid", *(["--net"] if network else [])]
        # Private propagation: neither do mounts inside reach the machine, nor later ones of the machine the inside.
        isolate = ["unshare", *kinds, "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
        opened = [*isolate, "sh", "-c", script]
        process = start(name, opened if inside is None else inside.enter(*opened), run_dir=run.path)
        try:
            what = f"the namespaces of {name} to be set up"
            wait_for(ready.exists, what=what, deadline=SETUP_DEADLINE_S, process=process, poll=0.01)
            holder = Identity.of(_first_inside(process.pid))
            assert holder is not None
            ready.unlink()
        except BaseException:
            process.kill()
            raise
        return cls(name, holder=holder, process=process)

    @classmethod
    def attach(cls, name: str, *, run: RunDir) -> Self:
        """Return the namespaces that another process opened under this name in the same run."""
        opener = Identity.parse((run.path / "pids" / name).read_text())
        holder = Identity.of(_first_inside(opener.pid)) if opener.alive else None
        if holder is None:
            raise ToolError(f"The namespaces of {name} are gone: its process ended. Run make down, then start again.")
        return cls(name, holder=holder, process=None)

    @property
    def pid(self) -> int:
        """The first process inside, as the machine numbers it."""
        return self._holder.pid

    @property
    def alive(self) -> bool:
        return self._holder.alive

    def enter(self, *command: str | Path, uid: int = 0) -> list[str]:
        """Return the command that runs `command` inside, as root, or as `uid` without any capability."""
        user = [] if uid == 0 else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        return ["nsenter", f"--target={self.pid}", "--all", *user, *map(str, command)]

    def run(self, *command: str | Path) -> None:
        """Run a short command inside as root; one that fails is an error."""
        done = subprocess.run(self.enter(*command), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ToolError(f"{shlex.join(map(str, command))} in {self._name}: {done.stderr.strip()}")

    def path(self, inside: Path) -> Path:
        """Name a file inside as the machine reaches it, through the first process' view."""
        return Path(f"/proc/{self.pid}/root") / inside.relative_to("/")

    def holds(self, pid: int) -> bool:
        """Return whether a process (as the machine numbers it) lives in this PID namespace."""
        try:
            return Path(f"/proc/{pid}/ns/pid").readlink() == Path(f"/proc/{self.pid}/ns/pid").readlink()
        except OSError:
            return False

    def close(self) -> None:
        """End every process inside, at once and however stuck; with them go the namespaces and all that is in them."""
        self._holder.send(SIGKILL)
        # The kernel lets the first process go only after all others are gone.
        wait_for(lambda: not self.alive, what=f"{self._name} to end", deadline=END_DEADLINE_S)
        if self._process is not None:
            self._process.kill()


def process_named(name: str, command_part: bytes, *, inside: Namespace) -> int | None:
    """Find the process of that name (as the kernel keeps it, 15 characters) whose command line has `command_part`."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text() != f"{name}\n":
                continue
            if command_part in (folder / "cmdline").read_bytes() and inside.holds(pid := int(folder.name)):
                return pid
        except OSError:
            continue  # It ended while we looked.
    return None


def _first_inside(pid: int) -> int:
    """Go down from what opened namespaces, by way of nsenter where they are in others, to what is PID 1 inside."""
    while True:
        [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pid = int(child)
        if re.search(r"^NSpid:.*\s1$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE):
            return pid
