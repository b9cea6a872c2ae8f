"""Find a kustomize: kubectl's, one of its own, or one built from its Go module."""

import shutil
from pathlib import Path

from tools.cache import build_log, cached
from tools.go import find_go
from tools.gobuild import go_build
from tools.gomodule import GoModule, copy_module
from tools.progress import step

KUSTOMIZE = GoModule(
    path="sigs.k8s.io/kustomize/kustomize/v5", version="5.8.1", sum="h1:Pgsg5psubpVEy7Nf6S89PARg5VmmWUC1l9dC6Dl4PG0="
)


def kustomize() -> list[str]:
    """Return the command that prints what a kustomization makes, but for the folder's name."""
    for command in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if shutil.which(command[0]):
            return command
    return [str(cached("kustomize", [repr(KUSTOMIZE).encode()], _build) / "kustomize"), "build"]


def _build(folder: Path) -> None:
    source = folder / "source"
    with step(f"Building kustomize {KUSTOMIZE.version}", why="from its Go module, half a minute, once"):
        copy_module(find_go(), KUSTOMIZE, source)
        go_build(["."], source=source, output=folder / "kustomize", log=build_log("kustomize"), stamp="")
    shutil.rmtree(source)
