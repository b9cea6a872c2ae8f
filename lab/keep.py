"""Keep a run for a person to play with: the file to source, and the end of it."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.rundir import RunDir, clean, leftovers, runs
from tools.checkout import CHECKOUT
from tools.errors import ToolError
from tools.progress import note, step

ENV_FILE = CHECKOUT / ".lab" / "env"


def keep(run: RunDir, *, variables: Mapping[str, str], path: Sequence[Path]) -> Path:
    """Let a run outlive this process and write `.lab/env`, to be sourced: variables, and folders put before PATH."""
    run.keep()
    ENV_FILE.parent.mkdir(exist_ok=True)
    folders = ":".join(shlex.quote(str(folder)) for folder in path)
    lines = [f"# The lab's run {run.path}; make down ends it."]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines.append(f"export PATH={folders}:$PATH")
    ENV_FILE.write_text("\n".join(lines) + "\n")
    return ENV_FILE


def newest_kept(file: str) -> RunDir | None:
    """Return the run that this checkout kept last among those that hold this file."""
    kept = [run for run in runs() if run.kept and run.checkout == CHECKOUT and (run.path / file).exists()]
    return kept[-1] if kept else None


def name_leftovers() -> None:
    """Say which runs were killed and left behind: they cost CPU and memory."""
    for run in leftovers():
        note(f"a killed run left {run.path} behind: make down ends it")


def end_kept() -> int:
    """End the runs that this checkout kept, and what killed runs left behind; return how many there were."""
    ended = [run for run in runs() if run.kept and run.checkout == CHECKOUT] + leftovers()
    failed = []
    for run in ended:
        try:
            with step(f"Ending {run.purpose} {run.path}"):
                clean(run)
        except ToolError as error:
            failed.append(str(error))
        if ENV_FILE.exists() and str(run.path) in ENV_FILE.read_text():
            ENV_FILE.unlink()
    if failed:
        raise ToolError("\n".join([*failed, "Mend that and run make down again."]))
    return len(ended)
