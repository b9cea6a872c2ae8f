"""The files of one libvirtd and its guests: a folder of the run outside, the same folder under a fixed path inside.

The fixed path is short because a socket's path holds 107 characters, and reachable because QEMU's user may not enter
root's cache, where the image is.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from lab.guests.image import GuestImage

INSIDE = Path("/run/lab")
IMAGE_INSIDE = GuestImage(INSIDE / "image" / "vmlinux", INSIDE / "image" / "initramfs")

Command = tuple[str | Path, ...]


def write_folder(folder: Path, files: Mapping[str, str], *, uid: int) -> None:
    """Make the folder with these files, all owned by `uid`."""
    (folder / "image").mkdir(parents=True)
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid)


def mounts(folder: Path, *, image: GuestImage | None) -> list[Command]:
    """Return the commands that lay out the inside: a /run of its own, the folder, and the image where one is booted."""
    commands: list[Command] = [
        ("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"),
        ("mkdir", INSIDE, "/run/libvirt"),
        ("mount", "--bind", folder, INSIDE),
    ]
    if image:
        commands.append(("mount", "--bind", image.kernel.parent, IMAGE_INSIDE.kernel.parent))
    return commands
