"""Build the images that a cluster runs: with docker or podman where one works, else with buildah as the lab does."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.cache import build_log
from tools.checkout import CHECKOUT
from tools.commands import run_logged
from tools.images.product import TAG, agent_image, operator_image
from tools.images.size import compressed_size
from tools.machine import require_machine
from tools.progress import step
from virtwatch_api import __version__

ENGINES = ("docker", "podman")
PARTS = ("agent", "operator")


def images(*, registry: str | None = None) -> None:
    """Build both images and say what each is called, how large it is, and how it comes to the registry."""
    engine = next((name for name in ENGINES if _works(name)), None)
    if engine is None:
        require_machine()
        for part, image in (("agent", agent_image), ("operator", operator_image)):
            archive, name = image(), _name(part, registry or "REGISTRY")
            _say(TAG.format(part=part), archive, f"skopeo copy docker-archive:{archive} docker://{name}")
        return
    for part in PARTS:
        name, pushed = _name(part, registry), _name(part, registry or "REGISTRY")
        tag = "" if registry else f"{engine} tag {name} {pushed} && "
        _build(engine, part, name=name, push=f"{tag}{engine} push {pushed}")


def _name(part: str, registry: str | None) -> str:
    name = f"virtwatch-{part}:{__version__}"
    return f"{registry.rstrip('/')}/{name}" if registry else name


def _works(engine: str) -> bool:
    # docker's command may be there without its daemon: only what answers builds.
    if shutil.which(engine) is None:
        return False
    return subprocess.run([engine, "ps"], capture_output=True, check=False).returncode == 0


def _build(engine: str, part: str, *, name: str, push: str) -> None:
    with step(f"Building {name} with {engine}"):
        argv = [engine, "build", "--file", f"{part}/Dockerfile", "--tag", name, "."]
        run_logged(argv, log=build_log(f"{engine}-{part}"), cwd=CHECKOUT)
    with tempfile.TemporaryDirectory(prefix="virtwatch-") as scratch:
        archive = Path(scratch, "image.tar")
        argv = [engine, "save", "--output", str(archive), name]
        run_logged(argv, log=build_log(f"{engine}-{part}-save"), cwd=CHECKOUT)
        _say(name, archive, push)


def _say(name: str, archive: Path, push: str) -> None:
    print(f"{name}: {compressed_size(archive) / 1e6:.0f} MB compressed. To your registry: {push}")
