"""The base of virtwatch's images where there is no registry: Debian's own Python, as mmdebstrap unpacks it."""

from collections.abc import Sequence
from pathlib import Path

from tools.cache import build_log, cached
from tools.commands import run_logged
from tools.images import archive
from tools.machine import ensure_packages
from tools.progress import step

BASE = "lab.local/python:3.11"
SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
# No container reads them, and they are a third of it.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
# As in other bases: what a Dockerfile's apt-get downloads does not stay in its layer.
APT_CONF = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
CUSTOMIZE = f"""rm -f "$1"/var/cache/apt/*.bin; printf '%s' '{APT_CONF}' > "$1/etc/apt/apt.conf.d/90clean" """


def base_image() -> Path:
    """Return the archive of the base image; the first call on a machine downloads 40 MB and takes about a minute."""
    layer = debian("python", PACKAGES, CUSTOMIZE)
    inputs: list[bytes | Path] = [layer.parent.name.encode(), BASE.encode(), Path(archive.__file__)]

    def build(folder: Path) -> None:
        image = archive.Image(name=BASE, layers=[layer], entrypoint=("/usr/bin/python3",))
        archive.write_archive(folder / "image.tar", image)

    return cached("image-base", inputs, build) / "image.tar"


def debian(name: str, packages: Sequence[str], *customize: str) -> Path:
    """Return the layer that holds Debian with these packages; `customize` are mmdebstrap's hooks, run at its end."""
    argv = [
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"),
        *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
        *(f"--customize-hook={command}" for command in customize),
        *(SUITE, "layer.tar"),
    ]

    def build(folder: Path) -> None:
        ensure_packages(["mmdebstrap"])
        with step(f"Unpacking Debian for the image of {name}", why="from Debian's packages, 1 to 2 minutes, once"):
            run_logged(argv, log=build_log(f"debian-{name}"), cwd=folder)

    return cached(f"debian-{name}", [repr(argv).encode()], build) / "layer.tar"
