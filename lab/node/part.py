"""One program of a node: started, stopped, killed, restarted by itself."""

import os
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM

from lab.guests.namespace import Namespace
from lab.process import Process, start, wait_for
from lab.rundir import RunDir
from tools.errors import ToolError

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0


class Part:
    """A program that runs inside a node's namespaces; what it started there continues without it."""

    def __init__(self, name: str, argv: list[str | Path], *, run: RunDir, socket: Path | None = None) -> None:
        """`socket`, as the node sees it, is where others reach the program: it has started when that is there."""
        self.name = name
        self._socket = socket
        self.log = run.path / "logs" / f"{name}.log"
        self._argv = argv
        self._run = run
        self._inside: Namespace | None = None
        self._process: Process | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    @property
    def process(self) -> Process:
        """The process that entered the node for it: it ends when the program does."""
        if self._process is None:
            raise ToolError(f"{self.name} was not started.")
        return self._process

    @property
    def pid(self) -> int:
        """The program's process, as the machine numbers it."""
        entered = self.process.pid
        children = Path(f"/proc/{entered}/task/{entered}/children").read_text().split()
        if not children:
            raise ToolError(f"{self.name} does not run: start it, or see why it ended.", log=self.log)
        return int(children[0])

    def start(self, inside: Namespace | None = None) -> None:
        """Start it, in the same node as before unless another life of the node is named."""
        self._inside = inside or self._inside
        assert self._inside is not None
        socket = self._inside.path(self._socket) if self._socket else None
        if socket is not None:
            socket.unlink(missing_ok=True)  # One that was killed left it behind, and it would refuse.
        process = start(self.name, self._inside.enter(*self._argv), run_dir=self._run.path)
        self._process = process
        if socket is not None:
            wait_for(socket.is_socket, what=f"{self.name} to listen", deadline=START_DEADLINE_S, process=process)

    def stop(self) -> bool:
        """End it with SIGTERM; after a while, with SIGKILL. Return, when it has ended, whether SIGTERM was enough."""
        if self.alive:
            os.kill(self.pid, SIGTERM)
            with suppress(ToolError):  # What takes longer is killed, as a service manager does.
                wait_for(lambda: not self.alive, what=f"{self.name} to end", deadline=STOP_DEADLINE_S)
        in_order = not self.alive
        self.kill()
        return in_order

    def kill(self) -> None:
        """End it with SIGKILL. Return when it has ended."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Stop it where it runs and start it again."""
        self.stop()
        self.start()
