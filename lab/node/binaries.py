"""Build what a node runs, once: kubelet and kube-scheduler from one program, containerd from its module."""

import shutil
from pathlib import Path

from lab.controlplane.binaries import STAMP, VERSION
from tools.cache import build_log, cached
from tools.gobuild import go_build
from tools.gomodule import GoModule, copy_module
from tools.machine import require_go
from tools.progress import step

SOURCE = Path(__file__).parent
KUBERNETES_FILES = ("main.go", "go.mod", "go.sum")
KUBERNETES_TOOLS = ("kubelet", "kube-scheduler")
CONTAINERD = GoModule("github.com/containerd/containerd/v2", "2.4.2", "h1:p6Qg+xbEz8lvwdhHDx0U469xENvp4LgGBx+E7djXkGw=")
CONTAINERD_TOOLS = ("containerd", "containerd-shim-runc-v2", "ctr")
CONTAINERD_STAMP = f"-X {CONTAINERD.path}/version.Version=v{CONTAINERD.version}"


def kubernetes_tools() -> Path:
    """Return the folder of kubelet and kube-scheduler, building them when the cache does not hold them."""
    inputs: list[bytes | Path] = [*(SOURCE / name for name in KUBERNETES_FILES), STAMP.encode()]
    return cached("node", inputs, _build_kubernetes)


def containerd_tools() -> Path:
    """Return the folder of containerd, its shim for runc and ctr, building them when the cache does not hold them."""
    inputs = [CONTAINERD.sum.encode(), CONTAINERD_STAMP.encode()]
    return cached("containerd", inputs, _build_containerd)


def _build_kubernetes(folder: Path) -> None:
    source = folder / "source"
    source.mkdir()
    for name in KUBERNETES_FILES:
        shutil.copy(SOURCE / name, source)
    why = "from its Go modules, once: 1 minute after the control plane's build, 6 without it"
    with step(f"Building Kubernetes {VERSION}: {', '.join(KUBERNETES_TOOLS)}", why=why):
        go_build(["."], source=source, output=folder / "node", log=build_log("node"), stamp=STAMP)
    shutil.rmtree(source)
    for name in KUBERNETES_TOOLS:
        (folder / name).symlink_to("node")


def _build_containerd(folder: Path) -> None:
    source = folder / "source"
    packages = [f"./cmd/{name}" for name in CONTAINERD_TOOLS]
    with step(f"Building containerd {CONTAINERD.version}", why="from its Go module, about 2 minutes on 2 cores, once"):
        copy_module(require_go(), CONTAINERD, source)
        go_build(packages, source=source, output=folder, log=build_log("containerd"), stamp=CONTAINERD_STAMP)
    shutil.rmtree(source)
