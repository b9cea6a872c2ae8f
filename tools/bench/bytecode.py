"""Python's byte code as pip leaves it in an installation: a process that compiles its modules takes 10 MiB more."""

import os
import subprocess
import sys
from pathlib import Path


def compiled(folder: Path, *modules: str) -> dict[str, str]:
    """Compile modules, and what they import, into a folder; return the environment that uses it."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(folder)
    subprocess.run([sys.executable, "-c", f"import {', '.join(modules)}"], env=env, check=True)
    return env
