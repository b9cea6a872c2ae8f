"""Build what a node runs, once: kubelet and kube-scheduler from one program, containerd from its module."""

import shutil
from pathlib import Path

from lab.cache import build_log, cached
from lab.controlplane.binaries import BUILD, VERSION
from lab.gomodule import GoModule, copy_module
from lab.machine import GO_SETTINGS, require_go
from lab.process import run_logged
from lab.progress import step

SOURCE = Path(__file__).parent
KUBERNETES_FILES = ("main.go", "go.mod", "go.sum")
KUBERNETES_TOOLS = ("kubelet", "kube-scheduler")
CONTAINERD = GoModule("github.com/containerd/containerd/v2", "2.4.2", "h1:p6Qg+xbEz8lvwdhHDx0U469xENvp4LgGBx+E7djXkGw=")
CONTAINERD_TOOLS = ("containerd", "containerd-shim-runc-v2", "ctr")
CONTAINERD_BUILD = (
    *("build", "-p", "2", "-trimpath", "-ldflags"),
    f"-s -w -X {CONTAINERD.path}/version.Version=v{CONTAINERD.version}",
)


def kubernetes_tools() -> Path:
    """Return the folder of kubelet and kube-scheduler, building them when the cache does not hold them."""
    inputs: list[bytes | Path] = [*(SOURCE / name for name in KUBERNETES_FILES), *(part.encode() for part in BUILD)]
    return cached("node", inputs, _build_kubernetes)


def containerd_tools() -> Path:
    """Return the folder of containerd, its shim for runc and ctr, building them when the cache does not hold them."""
    inputs = [CONTAINERD.sum.encode(), *(part.encode() for part in CONTAINERD_BUILD)]
    return cached("containerd", inputs, _build_containerd)


def _build_kubernetes(folder: Path) -> None:
    go = require_go()
    source = folder / "source"
    source.mkdir()
    for name in KUBERNETES_FILES:
        shutil.copy(SOURCE / name, source)
    why = "from its Go modules, once: 1 minute after the control plane's build, 6 without it"
    with step(f"Building Kubernetes {VERSION}: {', '.join(KUBERNETES_TOOLS)}", why=why):
        argv = [go, *BUILD, "-o", str(folder / "node"), "."]
        run_logged(argv, log=build_log("node"), cwd=source, env={**GO_SETTINGS, "CGO_ENABLED": "0"})
    shutil.rmtree(source)
    for name in KUBERNETES_TOOLS:
        (folder / name).symlink_to("node")


def _build_containerd(folder: Path) -> None:
    go = require_go()
    source = folder / "source"
    with step(f"Building containerd {CONTAINERD.version}", why="from its Go module, about 2 minutes on 2 cores, once"):
        copy_module(go, CONTAINERD, source)
        argv = [go, *CONTAINERD_BUILD, "-o", str(folder), *(f"./cmd/{name}" for name in CONTAINERD_TOOLS)]
        run_logged(argv, log=build_log("containerd"), cwd=source, env={**GO_SETTINGS, "CGO_ENABLED": "0"})
    shutil.rmtree(source)
