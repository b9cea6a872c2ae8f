"""Write the one file that installs virtwatch, with whichever kustomize there is."""

import os
import subprocess
from pathlib import Path

from tools.checkout import CHECKOUT
from tools.errors import ToolError
from tools.kustomize import kustomize
from virtwatch_api import __version__

BASE = "manifests/base"
FILE = CHECKOUT / "dist" / "virtwatch.yaml"
IMAGE = "image: virtwatch-"
HEADER = f"""\
# virtwatch {__version__}, all that {BASE} installs: kubectl apply -f virtwatch.yaml; kubectl delete -f virtwatch.yaml
"""


def dist(*, registry: str | None = None, file: Path = FILE) -> None:
    """Write the one file; `registry` is where the cluster pulls the images from."""
    argv = [*kustomize(), BASE]
    built = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise ToolError(f"{' '.join(argv)} failed: {built.stderr.strip()}")
    manifests = built.stdout
    if registry:
        manifests = manifests.replace(IMAGE, f"image: {registry.rstrip('/')}/virtwatch-")
    file.parent.mkdir(exist_ok=True)
    file.write_text(HEADER + manifests)
    named = os.path.relpath(file, CHECKOUT)
    print(f"{named} is written: kubectl apply -f {named}")
