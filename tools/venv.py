"""Make `.venv` from the lock files: `python3 -m tools.venv`. Runs on a bare Python, so it imports no package."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile

from tools.cache import build_log
from tools.checkout import CHECKOUT
from tools.errors import ToolError
from tools.machine import ensure_packages
from tools.progress import step

VENV = CHECKOUT / ".venv"
STAMP = VENV / "virtwatch.stamp"
BUILD_LOCK = CHECKOUT / "requirements" / "build.lock"
LOCK = CHECKOUT / "requirements.lock"


def make_venv() -> None:
    """Install everything that the lock files name, and the project itself as an editable; do nothing when up to date.

    The stamp is written last: what a kill interrupted is done again.
    """
    place, content = f"{sys.executable} {sys.version} {VENV}".replace("\n", " "), _content()
    stamped = STAMP.read_text().splitlines() if STAMP.exists() else ["", ""]
    if stamped == [place, content]:
        return
    STAMP.unlink(missing_ok=True)
    with step("Installing Python packages into .venv", why="libvirt-python is compiled: a minute, once"):
        with ThreadPoolExecutor() as pool:
            packages = pool.submit(ensure_packages, _missing_packages())
            if find_spec("ensurepip") is None:
                packages.result()
            if stamped[0] != place:
                _run(sys.executable, "-m", "venv", "--clear", str(VENV))
            _pip("--require-hashes", "--requirement", str(BUILD_LOCK))
            compiled, wheels = _split(LOCK.read_text())
            _install(wheels)
            packages.result()
        # Built with what build.lock holds, not with whatever is newest today.
        _install(compiled)
        _pip("--no-build-isolation", "--editable", str(CHECKOUT))
    STAMP.write_text(f"{place}\n{content}\n")


def _split(lock: str) -> tuple[str, str]:
    """Split a lock file into the package that comes as source, which waits for a compiler, and all others."""
    pins = re.split(r"^(?=[a-z0-9._-]+==)", lock, flags=re.MULTILINE)[1:]
    compiled = [pin for pin in pins if pin.startswith("libvirt-python==")]
    return "".join(compiled), "".join(pin for pin in pins if pin not in compiled)


def _install(pins: str) -> None:
    with NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pins)
        file.flush()
        _pip("--require-hashes", "--no-build-isolation", "--requirement", file.name)


def _content() -> str:
    """Return what the environment is made of: when any of it changes, the environment is out of date."""
    pyproject = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    pyproject["tool"] = pyproject["tool"]["hatch"]
    digest = hashlib.sha256(json.dumps(pyproject, sort_keys=True).encode())
    for file in (BUILD_LOCK, LOCK):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _missing_packages() -> Iterator[str]:
    """Name the Debian packages without which libvirt-python does not compile or venv does not work."""
    if find_spec("ensurepip") is None:
        yield "python3-venv"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        yield "python3-dev"
    if shutil.which("gcc") is None:
        yield "gcc"
    if shutil.which("pkg-config") is None:
        yield "pkg-config"
        yield "libvirt-dev"
    elif subprocess.run(["pkg-config", "--exists", "libvirt"], check=False).returncode != 0:
        yield "libvirt-dev"


def _pip(*arguments: str) -> None:
    # The lock files name all that is needed, and Python compiles what is imported when it is.
    options = ("--disable-pip-version-check", "--no-input", "--no-deps", "--no-compile")
    _run(str(VENV / "bin" / "python"), "-m", "pip", "install", *options, *arguments)


def _run(*command: str) -> None:
    log = build_log("venv")
    with log.open("ab") as out:
        done = subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
    if done.returncode != 0:
        raise ToolError(f"{' '.join(command)} failed: mend what the log says, then run make setup again.", log=log)


if __name__ == "__main__":
    try:
        make_venv()
    except ToolError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
