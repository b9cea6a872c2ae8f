"""Images of one static program: busybox, to run tests in pods and to hold pods open."""

from collections.abc import Sequence
from pathlib import Path

from tools.cache import cached
from tools.images import archive
from tools.images.archive import File, Image, write_archive, write_layer
from tools.machine import ensure_packages

PAUSE = "lab.local/pause:1"
BUSYBOX = "lab.local/busybox:1"
PROGRAM = Path("/bin/busybox")
APPLETS = ("cat", "grep", "id", "ls", "nc", "sh", "sleep")

FILES = (
    *(File(path=path) for path in ("/bin", "/etc", "/proc", "/sys", "/dev")),
    File(path="/tmp", mode=0o1777),
    File(path="/etc/passwd", source=b"root:x:0:0:root:/:/bin/sh\n", mode=0o644),
    File(path="/bin/busybox", source=PROGRAM),
    *(File(path=f"/bin/{applet}", link="busybox") for applet in APPLETS),
)


def pause_image() -> Path:
    """Return the archive of what containerd holds each pod's namespaces open with."""
    return _image("pause", PAUSE, entrypoint=("/bin/busybox", "sleep", "2147483647"), user="65535:65535")


def busybox_image() -> Path:
    """Return the archive of a shell and little more."""
    return _image("busybox", BUSYBOX, entrypoint=("/bin/sh",), user="")


def _image(name: str, tag: str, *, entrypoint: Sequence[str], user: str) -> Path:
    ensure_packages(["busybox-static"])

    def build(folder: Path) -> None:
        layer = write_layer(folder / "layer.tar", FILES)
        write_archive(folder / "image.tar", Image(name=tag, layers=[layer], entrypoint=entrypoint, user=user))
        layer.unlink()

    inputs: list[bytes | Path] = [
        PROGRAM,
        repr((tag, entrypoint, user)).encode(),
        Path(__file__),
        Path(archive.__file__),
    ]
    return cached(f"image-{name}", inputs, build) / "image.tar"
