"""Find the control plane's programs: in the user's folder, in the cache, or by building them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.cache import build_log, cached
from tools.errors import ToolError
from tools.gobuild import go_build
from tools.progress import step

SOURCE = Path(__file__).parent
TOOLS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
# The version that go.mod requires; without these flags clients see v0.0.0.
VERSION = "1.37.2"
MINIMUM = (1, 37)
_PACKAGE = "k8s.io/component-base/version"
STAMP = f"-X {_PACKAGE}.gitVersion=v{VERSION} -X {_PACKAGE}.gitMajor=1 -X {_PACKAGE}.gitMinor=37"


def find_tools() -> dict[str, Path]:
    """Return the path of each program: from `$KUBEBUILDER_ASSETS` what is there, the others built once and cached."""
    given = os.environ.get("KUBEBUILDER_ASSETS")
    tools = {name: Path(given, name) for name in TOOLS if Path(given, name).exists()} if given else {}
    for path in tools.values():
        _refuse_an_old(path)
    if missing := [name for name in TOOLS if name not in tools]:
        built = build_tools()
        tools |= {name: built / name for name in missing}
    return tools


def build_tools() -> Path:
    """Return the folder of the multi-call program and its links, building it when the cache does not hold it."""
    inputs: list[bytes | Path] = [SOURCE / "main.go", SOURCE / "go.mod", SOURCE / "go.sum", STAMP.encode()]
    return cached("controlplane", inputs, _build)


def _build(folder: Path) -> None:
    source = folder / "source"
    source.mkdir()
    for name in ("main.go", "go.mod", "go.sum"):
        shutil.copy(SOURCE / name, source)
    with step(
        f"Building Kubernetes {VERSION}: {', '.join(TOOLS)}",
        why="from its Go modules, about 8 minutes on 2 cores, once: later runs take it from the cache",
    ):
        go_build(["."], source=source, output=folder / "controlplane", log=build_log("controlplane"), stamp=STAMP)
    shutil.rmtree(source)
    for name in TOOLS:
        (folder / name).symlink_to("controlplane")


def _refuse_an_old(path: Path) -> None:
    if path.name == "etcd":
        return
    argv = [str(path), *(("version", "--client") if path.name == "kubectl" else ("--version",))]
    try:
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolError(
            f"{path}, from $KUBEBUILDER_ASSETS, does not run: {error}. Mend it or unset the variable."
        ) from error
    version = re.search(r"v(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < MINIMUM:
        found = said.splitlines()[0] if said else "of no known version"
        raise ToolError(
            f"{path}, from $KUBEBUILDER_ASSETS, is {found}; the lab needs Kubernetes {MINIMUM[0]}.{MINIMUM[1]} or "
            "newer. Put a newer one there, or unset the variable to have one built."
        )
