"""How long a person's first run takes: a fresh clone, and none of what earlier runs left in the home folder."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM

from tools.bench.figure import Figure
from tools.checkout import CHECKOUT
from tools.errors import ToolError
from tools.progress import step

WATCH = "virtwatch watch -f manifests/examples/watch/laptop.yaml --connect test:///default"
# Each with what its last line of interest holds, and the seconds that it may take.
FIRST_RUNS = {
    f"make setup && .venv/bin/{WATCH}": ("  Critical  ", 90.0),
    "make demo": ("from the start to the last alert's end", 480.0),
    "make demo KUBEVIRT=1": ("from the start to the last alert's end", 1500.0),
}


def first_runs() -> Iterator[Figure]:
    """Run each command as on a machine that has Debian's packages, Go and nothing else; time it to its last line."""
    for command, (last, goal) in FIRST_RUNS.items():
        with step(f"Running {command} from nothing"):
            taken, used = _run(command, last)
        name = f"{command}, from nothing"
        detail = f"{used:.0f} s of CPU were used on this machine meanwhile; Debian's packages were installed before"
        yield Figure(name=name, value=taken, unit="s", goal=goal, detail=detail)


def _run(command: str, last: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="virtwatch-") as folder:
        clone, home = Path(folder, "clone"), Path(folder, "home")
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", CHECKOUT, clone], check=True)
        begun, busy = time.monotonic(), _machine_cpu()
        with subprocess.Popen(
            ["bash", "-c", command],
            cwd=clone,
            env=_environment(home),
            text=True,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            if not any(last in line for line in process.stdout):
                raise ToolError(f"{command} ended without {last.strip()!r}.")
            taken, used = time.monotonic() - begun, _machine_cpu() - busy
            if WATCH in command:
                os.killpg(process.pid, SIGTERM)
            process.stdout.read()
    return taken, used


def _environment(home: Path) -> dict[str, str]:
    """Return the environment with another home: tools that live in the old one are still found."""
    rust = {"RUSTUP_HOME": str(Path.home() / ".rustup")} if (Path.home() / ".rustup").exists() else {}
    python = {"PYTHON": str(Path(sys.executable).resolve())}
    forgotten = ("GOPATH", "GOCACHE", "GOMODCACHE", "VIRTWATCH_CACHE", "VIRTUAL_ENV", "MAKEFLAGS", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if name not in forgotten}
    # Else Go's modules could not be removed with the rest.
    return {**kept, **rust, **python, "HOME": str(home), "GOFLAGS": "-modcacherw"}


def _machine_cpu() -> float:
    user, nice, system, *_ = Path("/proc/stat").read_text().split()[1:]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")
