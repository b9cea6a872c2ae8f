"""Start, watch, stop and kill the lab's processes, each by itself."""

import os
import pwd
import random
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tools.commands import tail
from tools.ending import refuse_if_asked
from tools.errors import ToolError

POLL_S = 0.02
# Who waits long asks less often: 50 times a second, the API server and who asks it take a fifth of a CPU.
RARER = 20
LONGEST_POLL_S = 0.2
STOP_DEADLINE_S = 10.0
# The kernel takes back the memory of what it ends, on a busy machine for a while.
KILL_DEADLINE_S = 60.0
RESTING_S = 1.5
PORT_ATTEMPTS = 3
# Below Linux' default ephemeral range (32768 and up), so that no outgoing connection takes a port between its choice
# and its use.
PORTS = range(20000, 32768)
# The ports that this process chose last, each held by a socket without a file (its descriptor): nobody else of the lab
# chooses one of them before who asked for it has bound it, or has ended.
_CHOSEN: deque[int] = deque()
_MOST_CHOSEN = 64
# Inherited by every descendant, so that a later clean-up finds those that nobody recorded.
RUN_VARIABLE = "VIRTWATCH_LAB_RUN"


@dataclass(frozen=True, slots=True)
class Identity:
    """One process for good: a pid alone is reused, together with its start time (ticks since boot) it is not."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the identity of a live process, or None when there is none or it is a zombie."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str()` wrote."""
        pid, started = text.split()
        return cls(int(pid), int(started))

    def __str__(self) -> str:
        return f"{self.pid} {self.started}"

    @property
    def alive(self) -> bool:
        return Identity.of(self.pid) == self

    def send(self, sig: signal.Signals) -> None:
        """Signal the process; one that has gone is no error."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)


@dataclass(frozen=True, slots=True)
class Command:
    """What a process is started with, and started again with."""

    name: str
    argv: tuple[str, ...]
    run_dir: Path
    env: Mapping[str, str]
    user: str | int | None
    cwd: Path


class Process:
    """A part of the lab that runs as its own process, in its own session. `start` makes one."""

    def __init__(self, command: Command) -> None:
        self.name = command.name
        self.log = command.run_dir / "logs" / f"{command.name}.log"
        self._command = command
        self._pid_file = command.run_dir / "pids" / command.name
        self._child = self._spawn()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        # WNOWAIT leaves a dead child unreaped: so its number stays reserved and `kill` can never hit a stranger.
        return (
            self._child.returncode is None
            and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        )

    def stop(self, deadline: float = STOP_DEADLINE_S) -> None:
        """End it with SIGTERM; after `deadline` seconds, with SIGKILL. Return when it has ended."""
        self.signal(signal.SIGTERM)
        end = time.monotonic() + deadline
        while self.alive and time.monotonic() < end:
            time.sleep(POLL_S)
        self.kill()

    def kill(self) -> None:
        """End it and its process group with SIGKILL. Return when it has ended."""
        if self._child.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._child.wait(KILL_DEADLINE_S)
            self._pid_file.unlink(missing_ok=True)

    def signal(self, sig: signal.Signals) -> None:
        """Send a signal to the process alone; one that has ended gets none."""
        if self.alive:
            os.kill(self.pid, sig)

    def restart(self, deadline: float = STOP_DEADLINE_S) -> None:
        """Stop it where it still runs and start it again with the same arguments; the log continues."""
        self.stop(deadline)
        self._child = self._spawn()

    def tail(self) -> str:
        """Return the last lines of its log."""
        return tail(self.log)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        command = self._command
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        uid, gid = _ids(command.user)
        with self.log.open("ab") as out:
            try:
                child = subprocess.Popen(
                    command.argv,
                    env=command.env,
                    cwd=command.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    user=uid,
                    group=gid,
                    extra_groups=None if uid is None else [],
                )
            except OSError as error:
                raise ToolError(f"{self.name} could not be started ({command.argv[0]}): {error}.") from error
        identity = Identity.of(child.pid)
        if identity is not None:
            self._pid_file.write_text(str(identity))
        return child


def start(
    name: str,
    argv: Sequence[str | Path],
    *,
    run_dir: Path,
    env: Mapping[str, str] | None = None,
    user: str | int | None = None,
    cwd: Path | None = None,
) -> Process:
    """Start a process in its own session; log to `run_dir/logs/NAME.log`, identity in `run_dir/pids/NAME`.

    `env` is added to this process' environment. `user` is a name or a uid (its group: the user's, or the same number).
    """
    refuse_if_asked(f"starting {name}")
    environment = {**os.environ, RUN_VARIABLE: str(run_dir), **(env or {})}
    return Process(Command(name, tuple(map(str, argv)), run_dir, environment, user, cwd or run_dir))


def wait_for(
    condition: Callable[[], bool],
    *,
    what: str,
    deadline: float,
    process: Process | None = None,
    poll: float = POLL_S,
    instead: Callable[[], str] | None = None,
) -> None:
    """Return when `condition()` holds; fail after `deadline` seconds, or at once when `process` has ended.

    `what` completes the sentence "Waited in vain for ...", and `instead` says what there is in its place. It asks
    every `poll` seconds, then ever less often.
    """
    begun = time.monotonic()
    end = begun + deadline
    while not condition():
        refuse_if_asked(f"waiting for {what}")
        if process is not None and not process.alive:
            raise ToolError(f"{process.name} ended while waiting for {what}:\n{process.tail()}", log=process.log)
        if time.monotonic() > end:
            said = "" if process is None else f"; {process.name} says:\n{process.tail()}"
            said += "" if instead is None else f"; instead: {instead()}"
            raise ToolError(f"Waited in vain for {what}, {deadline:g} s{said}", log=process.log if process else None)
        time.sleep(next_poll(time.monotonic() - begun, poll))


def wait_resting(pid: int, *, what: str, deadline: float = 180.0) -> None:
    """Return when a process has used less than a tenth of a CPU for RESTING_S seconds.

    `what` names it. A guest that has booted uses CPU for a while still, which whoever watches it sees as load.
    """
    looks: deque[tuple[float, float]] = deque()

    def rests() -> bool:
        looks.append((time.monotonic(), _cpu_seconds(pid)))
        while len(looks) > 2 and looks[-1][0] - looks[1][0] >= RESTING_S:
            looks.popleft()
        (began, before), (now, used) = looks[0], looks[-1]
        return now - began >= RESTING_S and used - before < (now - began) / 10

    wait_for(rests, what=f"{what} to rest", deadline=deadline, poll=0.1)


def next_poll(waited: float, poll: float = POLL_S) -> float:
    """Return the seconds until one asks again who has `waited` so many; asking late costs a twentieth of the wait."""
    return poll + min(waited / RARER, LONGEST_POLL_S)


def free_port() -> int:
    """Choose a TCP port that is free on loopback now, and that no other process of the lab is about to bind.

    A program that is not the lab's may take it first: a caller who minds that chooses again.
    """
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _hold(port)
            return port
    raise ToolError(f"No free TCP port between {PORTS.start} and {PORTS.stop} on 127.0.0.1: end what holds them.")


def _hold(port: int) -> None:
    """Choose a port before others do; OSError says that one of them has. The kernel ends the hold with the process."""
    with socket.socket(socket.AF_UNIX) as mark:
        mark.bind(f"\0virtwatch-port-{port}")
        _CHOSEN.append(mark.detach())
    while len(_CHOSEN) > _MOST_CHOSEN:
        os.close(_CHOSEN.popleft())


def accepts(port: int) -> bool:
    """Return whether something listens on this TCP port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def with_other_ports(begin: Callable[[], None], undo: Callable[[], None]) -> None:
    """Begin again, with ports chosen again by `begin`, when another process took one of them first."""
    for attempt in range(1, PORT_ATTEMPTS + 1):
        try:
            begin()
            break
        except ToolError as error:
            undo()
            if "address already in use" not in str(error) or attempt == PORT_ATTEMPTS:
                raise


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, of user and of system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ids(user: str | int | None) -> tuple[int | None, int | None]:
    if user is None:
        return None, None
    if isinstance(user, int):
        return user, user
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid
