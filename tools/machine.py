"""What the lab needs of the machine: root, x86-64 and Debian packages."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable

from tools.cache import build_log, cache_root, locked
from tools.errors import ToolError
from tools.progress import step

APT_LOCK_WAIT_S = 300


def require_machine() -> None:
    """Raise ToolError where the lab cannot run, before anything is built for it."""
    if os.geteuid() != 0:
        raise ToolError("The lab makes namespaces, mounts and network bridges, which only root may: sudo make ...")
    if platform.machine() != "x86_64":
        raise ToolError(f"The lab's guests are made for x86_64, and this machine is {platform.machine()}: use another.")


def ensure_packages(names: Iterable[str]) -> None:
    """Install the Debian packages that are missing; do nothing, quickly, when all are there."""
    names = tuple(names)
    if names and shutil.which("dpkg-query") is None:
        raise ToolError(f"This machine is no Debian, whose packages {', '.join(names)} are needed: use Debian 12.")
    missing = _missing(names)
    if not missing:
        return
    listed = " ".join(missing)
    if os.geteuid() != 0:
        raise ToolError(f"Debian packages are missing and only root may install them: sudo apt-get install {listed}")
    # apt waits for another that installs, not for one that reads the lists.
    with locked(cache_root() / ".apt.lock", what="installing Debian packages"):
        missing = _missing(names)
        if missing:
            with step(f"Installing {' '.join(missing)}", why="Debian packages, once"):
                _apt("update")
                _apt("install", "--yes", "--no-install-recommends", *missing)


def _missing(names: Iterable[str]) -> list[str]:
    return [name for name in names if not _installed(name)]


def _installed(name: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${Status}", name]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout == "install ok installed"


def _apt(*arguments: str) -> None:
    log = build_log("apt")
    command = ["apt-get", "--quiet", f"--option=DPkg::Lock::Timeout={APT_LOCK_WAIT_S}", *arguments]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with log.open("ab") as out:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
    if done.returncode != 0:
        raise ToolError(f"{' '.join(command)} failed: mend what the log says and run it again by hand.", log=log)
