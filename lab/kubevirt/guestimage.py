"""What KubeVirt's VMs boot: the lab's own guest, its control port moved to the one serial port that KubeVirt gives."""

import zlib
from functools import partial
from pathlib import Path

from lab.guests.image import INIT, guest_image
from lab.guests.initramfs import Entry
from lab.guests.initramfs import archive as initramfs
from lab.kubevirt.images import QEMU_UID
from tools.cache import cached
from tools.images import archive
from tools.images.archive import File, Image
from tools.progress import step

KERNEL = "lab.local/guest-kernel:1"
DISK = "lab.local/guest-disk:1"
DISK_BYTES = 16 << 20
# Kubernetes enforces the int32 of KubeVirt 1.7's VMI status, where KubeVirt writes an unsigned CRC-32 of each file.
CRC_LIMIT = 1 << 31


def guest_images() -> Path:
    """Return the archive of the kernel's image (for kernelBoot) and of a disk's (containerDisk)."""
    guest = guest_image()
    inputs: list[bytes | Path] = [
        guest.kernel.parent.name.encode(),
        Path(__file__),
        Path(archive.__file__),
    ]

    def build(folder: Path) -> None:
        with step("Making the images of KubeVirt's guests"):
            _make(folder, kernel=guest.kernel.read_bytes(), initrd=guest.initramfs.read_bytes())

    return cached("image-guests", inputs, build) / "image.tar"


def _make(folder: Path, *, kernel: bytes, initrd: bytes) -> None:
    # Of several archives in a row the kernel unpacks all: the later file of the same name wins.
    init = INIT.read_bytes().replace(b"/dev/ttyS1", b"/dev/ttyS0")
    initrd += initramfs([Entry.file("init", init, executable=True)])
    owned = partial(File, owner=QEMU_UID, mode=0o444)
    boot = archive.write_layer(
        folder / "boot.tar",
        [
            File(path="/boot", owner=QEMU_UID),
            owned(path="/boot/vmlinux", source=padded(kernel)),
            owned(path="/boot/initramfs", source=padded(initrd)),
        ],
    )
    disk = archive.write_layer(
        folder / "disk.tar",
        [
            File(path="/disk", owner=QEMU_UID),
            owned(path="/disk/disk.img", source=padded(bytes(DISK_BYTES), unit=1 << 16)),
        ],
    )
    archive.write_archive(
        folder / "image.tar",
        Image(name=KERNEL, layers=[boot], entrypoint=[]),
        Image(name=DISK, layers=[disk], entrypoint=[]),
    )
    boot.unlink()
    disk.unlink()


def padded(content: bytes, *, unit: int = 512) -> bytes:
    """Add zeros, a unit at a time, until the CRC-32 fits into a signed number."""
    while zlib.crc32(content) >= CRC_LIMIT:
        content += bytes(unit)
    return content
