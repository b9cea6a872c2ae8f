"""Build programs in a copy of a Go module's own folder, whose go.sum alone names checksums that are all to be had."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.errors import ToolError


@dataclass(frozen=True, slots=True)
class GoModule:
    """One version of a module. `sum` is what its zip must hash to, as in a go.sum."""

    path: str
    version: str
    sum: str


def copy_module(go: str, module: GoModule, to: Path) -> None:
    """Download the module where the machine lacks it, check it, and copy it to a folder that does not exist yet."""
    shutil.copytree(_downloaded(go, module), to, copy_function=shutil.copyfile)
    for read_only in (to, *to.rglob("*/")):
        read_only.chmod(0o755)


def _downloaded(go: str, module: GoModule) -> Path:
    argv = [go, "mod", "download", "-json", f"{module.path}@v{module.version}"]
    said = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False)
    try:
        answer = json.loads(said.stdout)
        folder, found = Path(answer["Dir"]), answer["Sum"]
    except (ValueError, KeyError) as error:
        raise ToolError(f"{' '.join(argv)} failed: {said.stdout}{said.stderr}") from error
    if found != module.sum:
        raise ToolError(
            f"{module.path}@v{module.version} hashes to {found}, not to {module.sum}: distrust the proxy in use."
        )
    return folder
