"""One run of the lab is one folder: whose it is, what it left behind, how to end it.

`owner.json` names the process that made the run; `pids/` its processes, which also carry the run in their environment;
`undo.jsonl`, written before each deed, the commands that take back what a run did to the machine outside of its folder.
So a kill -9 at any moment loses nothing.
"""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM

from lab.process import POLL_S, RUN_VARIABLE, Identity
from tools.checkout import CHECKOUT
from tools.errors import ToolError

STOP_DEADLINE_S = 10.0
# No single part may use up the time of all: kube-apiserver waits for requests that will never end.
STOP_EACH_S = 3.0
KILL_DEADLINE_S = 30.0
DEFAULT_ROOT = Path("/tmp/virtwatch-lab")
# Links to the other folders that held runs.
ELSEWHERE = DEFAULT_ROOT / ".elsewhere"


@dataclass(frozen=True, slots=True)
class RunDir:
    """A run's folder. Its path is short: a Unix socket's path holds 107 characters."""

    path: Path

    @classmethod
    def create(cls, purpose: str) -> "RunDir":
        """Make the folder of a new run that belongs to this process."""
        root = run_root()
        _refuse_a_stranger(root)
        _note_elsewhere(root)
        # Hidden until its owner is written: nobody sees a run without an owner.
        unfinished = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
        unfinished.chmod(0o711)
        run = cls(unfinished)
        run._write_owner(purpose=purpose, kept=False)
        final = root / secrets.token_hex(3)
        unfinished.rename(final)
        return cls(final)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def purpose(self) -> str:
        return str(self._owner().get("purpose", "unknown"))

    @property
    def kept(self) -> bool:
        """True when the run shall outlive the process that made it, until `python -m lab down`."""
        return bool(self._owner().get("kept"))

    @property
    def checkout(self) -> Path:
        """Name the checkout that the run was started from."""
        return Path(str(self._owner().get("checkout", "")))

    @property
    def owned(self) -> bool:
        """True while the process that made the run lives."""
        return Identity.parse(str(self._owner().get("identity", "0 0"))).alive

    def keep(self) -> None:
        """Let the run outlive this process."""
        self._write_owner(purpose=self.purpose, kept=True)

    def record_undo(self, *command: str) -> None:
        """Note a command that takes back what is done next (a tap, a bridge, a rule); `clean` runs them backwards.

        A command must succeed where there is nothing to take back: it may run though the deed never happened.
        """
        with (self.path / "undo.jsonl").open("a") as file:
            file.write(json.dumps(command) + "\n")

    def _owner(self) -> dict[str, object]:
        try:
            owner = json.loads((self.path / "owner.json").read_text())
        except (OSError, ValueError):
            return {}
        return owner if isinstance(owner, dict) else {}

    def _write_owner(self, *, purpose: str, kept: bool) -> None:
        owner = {"identity": str(Identity.of(os.getpid())), "purpose": purpose, "kept": kept, "checkout": str(CHECKOUT)}
        # At once, whoever reads it meanwhile: half of it would be a run that nobody owns, to be cleaned.
        written = self.path / ".owner.json"
        written.write_text(json.dumps(owner))
        written.rename(self.path / "owner.json")


def run_root() -> Path:
    """Name the folder that holds the runs: `$VIRTWATCH_RUN`, else `DEFAULT_ROOT`."""
    return Path(os.environ.get("VIRTWATCH_RUN") or DEFAULT_ROOT).absolute()


def runs(root: Path | None = None) -> list[RunDir]:
    """Return every run in a folder, by default `run_root()`, the oldest first."""
    root = root or run_root()
    if not root.is_dir():
        return []
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return [RunDir(path) for path in sorted(folders, key=_changed)]


def _changed(path: Path) -> float:
    """Return when a folder was changed last; one that another cleans meanwhile may be gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def leftovers() -> list[RunDir]:
    """Return the runs whose owner died without cleaning up (kill -9, power loss) and that nobody asked to keep.

    Who chose no folder sees those in folders that others chose, too.
    """
    root = run_root()
    elsewhere = sorted(ELSEWHERE.iterdir()) if root == DEFAULT_ROOT and ELSEWHERE.is_dir() else []
    found = [run for folder in (root, *(link.resolve() for link in elsewhere)) for run in runs(folder)]
    return [run for run in found if not run.owned and not run.kept]


def clean(run: RunDir) -> None:
    """End a run: stop its processes, take back what it did to the machine, unmount, remove its folder.

    Safe to call on a half-made, a half-cleaned or a vanished run, and while another cleans it too. ToolError says what
    stays; then so does the folder, for the next attempt.
    """
    if not run.path.is_dir():
        return
    _stop(run)
    _undo(run)
    _unmount(run)
    shutil.rmtree(run.path, onerror=_unless_gone)


def _unless_gone(_: object, __: str, error: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]


def processes(run: RunDir) -> list[Identity]:
    """Find a run's processes: recorded ones, their descendants, and the QEMUs that its libvirtds detached."""
    found = set(_recorded(run))
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if pid != os.getpid() and _belongs(folder, run) and (identity := Identity.of(pid)):
            found.add(identity)
    return sorted(found, key=lambda identity: identity.started, reverse=True)


def _recorded(run: RunDir) -> Iterable[Identity]:
    for file in (run.path / "pids").glob("*"):
        try:
            identity = Identity.parse(file.read_text())
        except (FileNotFoundError, ValueError):
            continue  # Another cleans too, or it is not written yet.
        if identity.alive:
            yield identity


def _belongs(process: Path, run: RunDir) -> bool:
    marker = f"{RUN_VARIABLE}={run.path}".encode()
    try:
        if marker in (process / "environ").read_bytes().split(b"\0"):
            return True
        # libvirtd gives QEMU an environment of its own; its command line names files of the run.
        command = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"qemu" in command[0] and any(f"{run.path}/".encode() in argument for argument in command)


def _stop(run: RunDir) -> None:
    # The newest first, each gone before the next is asked: what stands on another part ends before that part.
    end = time.monotonic() + STOP_DEADLINE_S
    for identity in processes(run):
        identity.send(SIGTERM)
        patience = min(end, time.monotonic() + STOP_EACH_S)
        while identity.alive and time.monotonic() < patience:
            time.sleep(POLL_S)
    end = time.monotonic() + KILL_DEADLINE_S
    while (living := processes(run)) and time.monotonic() < end:
        for identity in living:
            identity.send(SIGKILL)
        time.sleep(POLL_S)
    if living:
        pids = ", ".join(str(identity.pid) for identity in living)
        raise ToolError(
            f"Processes of the run {run.path} do not end, not even by SIGKILL: {pids}. See ps -o stat,wchan."
        )


def _undo(run: RunDir) -> None:
    record = run.path / "undo.jsonl"
    try:
        recorded = record.read_text().splitlines()
    except FileNotFoundError:
        return  # Nothing was done, or another who cleans has undone it.
    stays = []
    for line in reversed(recorded):
        try:
            command = json.loads(line)
        except ValueError:
            continue  # Cut off by a kill -9 in the middle of the line: its deed never happened.
        # Again, since another one who cleans may have been quicker at what the first attempt meant to do.
        for attempt in ("first", "last"):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
            if attempt == "last":
                stays.append(f"{' '.join(command)}: {done.stderr.strip() or f'ended with {done.returncode}'}")
    if stays and run.path.is_dir():
        raise ToolError(f"What the run {run.path} did to this machine is not taken back:\n" + "\n".join(stays))
    record.unlink(missing_ok=True)


def _unmount(run: RunDir) -> None:
    for mount in sorted(_mounts(run), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
    if left := _mounts(run):
        raise ToolError(f"Mounts of the run {run.path} stay: {', '.join(left)}. Unmount them, then run this again.")


def _mounts(run: RunDir) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    decoded = [point.replace("\\040", " ").replace("\\134", "\\") for point in points]
    return [point for point in decoded if Path(point).is_relative_to(run.path)]


def _refuse_a_stranger(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    owner = root.stat().st_uid
    if owner != os.geteuid():
        raise ToolError(f"{root} belongs to uid {owner}: set VIRTWATCH_RUN to a short path of your own.")


def _note_elsewhere(root: Path) -> None:
    if root == DEFAULT_ROOT:
        return
    ELSEWHERE.mkdir(parents=True, exist_ok=True)
    if ELSEWHERE.stat().st_uid == os.geteuid():
        for link in ELSEWHERE.iterdir():
            if not link.exists():
                link.unlink(missing_ok=True)
        with suppress(FileExistsError):
            (ELSEWHERE / str(root).replace("/", ":")).symlink_to(root)
