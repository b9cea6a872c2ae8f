"""Find Kubernetes' programs: in the user's folder, in the cache, or by building them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.cache import build_log, cached
from tools.errors import ToolError
from tools.gobuild import go_build
from tools.progress import step

SOURCE = Path(__file__).with_name("programs")
# What is built at once, in this order: the first is all that the demo's light size needs.
API, CONTROLLERS, NODE = (
    ("kube-apiserver", "etcd", "kubectl"),
    ("kube-controller-manager",),
    ("kubelet", "kube-scheduler"),
)
DURATION = {API: "5 minutes", CONTROLLERS: "2 minutes", NODE: "1 minute"}
# The version that go.mod requires; without these flags clients see v0.0.0.
VERSION = "1.37.2"
MINIMUM = (1, 37)
_PACKAGE = "k8s.io/component-base/version"
STAMP = f"-X {_PACKAGE}.gitVersion=v{VERSION} -X {_PACKAGE}.gitMajor=1 -X {_PACKAGE}.gitMinor=37"


def find_programs(names: tuple[str, ...]) -> dict[str, Path]:
    """Return the path of each program of a group: from `$KUBEBUILDER_ASSETS` what is there, else built and cached."""
    given = os.environ.get("KUBEBUILDER_ASSETS")
    programs = {name: Path(given, name) for name in names if Path(given, name).exists()} if given else {}
    for path in programs.values():
        _refuse_an_old(path)
    if missing := [name for name in names if name not in programs]:
        inputs: list[bytes | Path] = [SOURCE, STAMP.encode()]
        built = cached(names[0], inputs, lambda folder: _build(names, folder))
        programs |= {name: built / name for name in missing}
    return programs


def _build(names: tuple[str, ...], folder: Path) -> None:
    source = folder / "source"
    shutil.copytree(SOURCE, source)
    with step(
        f"Building {', '.join(names)} {VERSION}", why=f"from Go modules, about {DURATION[names]} on 2 cores, once"
    ):
        packages = [f"./{name}" for name in names]
        go_build(packages, source=source, output=f"{folder}/", log=build_log(names[0]), stamp=STAMP)
    shutil.rmtree(source)


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
