"""Build KubeVirt from its Go module, and let its own generators print what installs it."""

import os
import shutil
import subprocess
from pathlib import Path

from tools.cache import build_log, cached
from tools.commands import run_logged
from tools.errors import ToolError
from tools.go import find_go
from tools.gobuild import go_build
from tools.gomodule import GoModule, copy_module
from tools.machine import ensure_packages
from tools.progress import step

KUBEVIRT = GoModule("kubevirt.io/kubevirt", "1.7.0", "h1:Emz0v1IGKwTvWvD+d0mZmfZFvVCxreSAPAUQnp0ZhZI=")
# Parts of the same repository that its module's zip lacks.
STAGING = ("kubevirt.io/api", "kubevirt.io/client-go")
NAMESPACE = "kubevirt"
REGISTRY = "lab.local"
TAG = f"v{KUBEVIRT.version}"
NAMESPACE_MANIFEST = f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    kubevirt.io: ""
    pod-security.kubernetes.io/enforce: privileged
---
"""
OPERATOR_SOURCE = Path(__file__).with_name("operator.go")
PURE = (
    "cmd/virt-api",
    "cmd/virt-controller",
    "cmd/virt-freezer",
    "cmd/virt-launcher-monitor",
    "cmd/virt-operator",
    "cmd/virt-probe",
    "cmd/virt-tail",
    "cmd/virtctl",
)
GENERATORS = ("tools/resource-generator", "tools/operator")
# They call C: libvirt, or what enters namespaces.
LINKED = ("cmd/virt-chroot", "cmd/virt-handler", "cmd/virt-launcher")
# In the place of each bridged NIC KubeVirt leaves a `dummy` device in the pod, through which nothing passes. Not every
# machine's kernel has that type: the lab's KubeVirt leaves a bridge without ports, which serves as well.
PLACEHOLDER = ("pkg/network/setup/netpod/netpod.go", "nmstate.TypeDummy", "nmstate.TypeBridge")
STAMP = f"-X kubevirt.io/client-go/version.gitVersion={TAG}"
# What virt-launcher's image holds beside programs.
FILES = (
    "cmd/virt-launcher/nsswitch.conf",
    "cmd/virt-launcher/qemu",
    "cmd/virt-launcher/qemu.conf",
    "cmd/virt-launcher/virtqemud.conf",
    "cmd/virt-launcher/node-labeller/node-labeller.sh",
)


def kubevirt() -> Path:
    """Return the folder of KubeVirt's programs, `files/` and `operator.yaml`, building it when the cache lacks it."""
    inputs: list[bytes | Path] = [
        KUBEVIRT.sum.encode(),
        repr((STAMP, PURE, GENERATORS, LINKED, FILES, PLACEHOLDER)).encode(),
        OPERATOR_SOURCE,
    ]
    return cached("kubevirt", inputs, _build)


def _build(folder: Path) -> None:
    go = find_go()
    ensure_packages(["gcc", "libc6-dev", "libvirt-dev", "pkg-config"])
    source, log = folder / "source", build_log("kubevirt")
    with step(f"Building KubeVirt {KUBEVIRT.version}", why="from its Go module, about 8 minutes on 2 cores, once"):
        copy_module(go, KUBEVIRT, source)
        (source / "go.work").unlink(missing_ok=True)
        _replace(source, *PLACEHOLDER)
        replaced = [f"-replace={name}={name}@v{KUBEVIRT.version}" for name in STAGING]
        run_logged([go, "mod", "edit", *replaced], log=log, cwd=source)
        (source / "tools" / "operator").mkdir()
        shutil.copy(OPERATOR_SOURCE, source / "tools" / "operator" / "main.go")
        for cgo, names in ((False, PURE + GENERATORS), (True, LINKED)):
            packages = [f"./{name}" for name in names]
            go_build(packages, source=source, output=folder, log=log, stamp=STAMP, cgo=cgo, env=_GO_SETTINGS)
        disk = source / "cmd" / "container-disk-v2alpha" / "main.c"
        run_logged(["gcc", "-static", "-O2", "-o", folder / "container-disk", disk], log=log, cwd=source)
        (folder / "files").mkdir()
        for name in FILES:
            shutil.copy(source / name, folder / "files")
        (folder / "operator.yaml").write_text(_manifest(folder))
    shutil.rmtree(source)


# The module's go.sum does not know its staging modules at these versions: Go's checksum database answers for them.
_GO_SETTINGS = {"GOWORK": "off", "GOFLAGS": "-mod=mod -buildvcs=false"}


def _replace(source: Path, name: str, theirs: str, ours: str) -> None:
    code = (source / name).read_text()
    if theirs not in code:
        raise ToolError(f"{name} of KubeVirt {KUBEVIRT.version} has no {theirs}: change PLACEHOLDER in {__file__}.")
    (source / name).write_text(code.replace(theirs, ours))


def _manifest(folder: Path) -> str:
    """Return what installs virt-operator, with one replica instead of two."""
    generator = str(folder / "resource-generator")
    parts = [
        NAMESPACE_MANIFEST,
        _printed(generator, "-type", "kv"),
        _printed(generator, "-type", "priorityclass"),
        _printed(generator, "-type", "operator-rbac", "-namespace", NAMESPACE),
        _printed(str(folder / "operator"), NAMESPACE, REGISTRY, TAG, "2").replace(
            "\n  replicas: 2\n", "\n  replicas: 1\n"
        ),
    ]
    return "".join(parts)


def _printed(*argv: str) -> str:
    return subprocess.run(argv, env=dict(os.environ), capture_output=True, text=True, check=True).stdout
