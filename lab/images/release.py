"""Build the images that a cluster runs: with docker or podman where one works, else with buildah as the lab does."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.cache import build_log
from lab.images.product import AGENT, OPERATOR, agent_image, operator_image
from lab.images.size import compressed_size
from lab.process import run_logged
from lab.progress import step
from lab.rundir import CHECKOUT
from virtwatch_api import __version__

ENGINES = ("docker", "podman")
PARTS = ("agent", "operator")


def images() -> None:
    """Build both images and say what each is called, how large it is, and where it is."""
    engine = next((name for name in ENGINES if _works(name)), None)
    if engine is None:
        for name, archive in ((AGENT, agent_image()), (OPERATOR, operator_image())):
            _say(name, archive, where=f"in {archive}: {' or '.join(ENGINES)} load it, and so does ctr images import")
        return
    for part in PARTS:
        _build(engine, part)


def _works(engine: str) -> bool:
    # docker's command may be there without its daemon: only what answers builds.
    if shutil.which(engine) is None:
        return False
    return subprocess.run([engine, "ps"], capture_output=True, check=False).returncode == 0


def _build(engine: str, part: str) -> None:
    name = f"virtwatch-{part}:{__version__}"
    with step(f"Building {name} with {engine}"):
        argv = [engine, "build", "--file", f"{part}/Dockerfile", "--tag", name, "."]
        run_logged(argv, log=build_log(f"{engine}-{part}"), cwd=CHECKOUT)
    with tempfile.TemporaryDirectory(prefix="virtwatch-") as scratch:
        archive = Path(scratch, "image.tar")
        argv = [engine, "save", "--output", str(archive), name]
        run_logged(argv, log=build_log(f"{engine}-{part}-save"), cwd=CHECKOUT)
        _say(name, archive, where=f"in {engine}")


def _say(name: str, archive: Path, *, where: str) -> None:
    print(f"{name}: {compressed_size(archive) / 1e6:.0f} MB compressed, {where}")
