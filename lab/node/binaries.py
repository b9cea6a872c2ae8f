"""Build containerd from its module, once."""

import shutil
from pathlib import Path

from tools.cache import build_log, cached
from tools.go import find_go
from tools.gobuild import go_build
from tools.gomodule import GoModule, copy_module
from tools.progress import step

CONTAINERD = GoModule("github.com/containerd/containerd/v2", "2.4.2", "h1:p6Qg+xbEz8lvwdhHDx0U469xENvp4LgGBx+E7djXkGw=")
CONTAINERD_TOOLS = ("containerd", "containerd-shim-runc-v2", "ctr")
CONTAINERD_STAMP = f"-X {CONTAINERD.path}/version.Version=v{CONTAINERD.version}"


def containerd_tools() -> Path:
    """Return the folder of containerd, its shim for runc and ctr, building them when the cache does not hold them."""
    inputs = [CONTAINERD.sum.encode(), CONTAINERD_STAMP.encode()]
    return cached("containerd", inputs, _build_containerd)


def _build_containerd(folder: Path) -> None:
    source = folder / "source"
    packages = [f"./cmd/{name}" for name in CONTAINERD_TOOLS]
    with step(f"Building containerd {CONTAINERD.version}", why="from its Go module, about 2 minutes on 2 cores, once"):
        copy_module(find_go(), CONTAINERD, source)
        go_build(packages, source=source, output=folder, log=build_log("containerd"), stamp=CONTAINERD_STAMP)
    shutil.rmtree(source)
