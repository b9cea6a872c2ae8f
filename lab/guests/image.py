"""The guest's kernel and initramfs: Debian's own kernel, busybox and guest agent, and an init that obeys the host."""

import lzma
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from lab.guests import guestagent, initramfs
from lab.guests.initramfs import Entry, archive
from tools.cache import build_log, cached
from tools.commands import run_logged
from tools.errors import ToolError
from tools.machine import ensure_packages
from tools.progress import step

INIT = Path(__file__).with_name("init.sh")
SILENT = Path(__file__).with_name("silent.sh")
# Depends on the newest kernel package, whose own name carries its version. The cloud flavour lacks i6300esb.
KERNEL = "linux-image-amd64"
BUSYBOX = "busybox-static"
# In the order in which they need one another; insmod follows no dependencies.
MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
    "virtio_balloon",
    "virtio_console",
    "pvpanic",
    "pvpanic-mmio",
    "watchdog",
    "i6300esb",
)
# What a file system on the disk needs, loaded when there is to be one.
FILE_SYSTEM = ("crc16", "crc32c_generic", "mbcache", "jbd2", "ext4")
# Seconds that an armed and unfed watchdog waits.
OPTIONS = {"i6300esb": "heartbeat=3"}
APPLETS = (
    "cat",
    "dd",
    "grep",
    "insmod",
    "ip",
    "kill",
    "mke2fs",
    "mount",
    "ping",
    "poweroff",
    "reboot",
    "rm",
    "setsid",
    "sh",
    "sleep",
    "stty",
    "tr",
    "umount",
)
XZ_MAGIC = b"\xfd7zXZ\0"
FOLDERS = ("bin", "data", "dev", "modules", "proc", "run", "sys")


@dataclass(frozen=True, slots=True)
class GuestImage:
    """What QEMU boots. The kernel is uncompressed: emulating its decompression would cost seconds at each boot."""

    kernel: Path
    initramfs: Path


def guest_image() -> GuestImage:
    """Return the guest's image; the first call on a machine downloads 76 MB and builds it, in about 10 s."""
    sources = (Path(__file__), Path(initramfs.__file__), Path(guestagent.__file__), INIT, SILENT)
    folder = cached("guest-image", sources, _build)
    return GuestImage(folder / "vmlinux", folder / "initramfs")


def _build(folder: Path) -> None:
    ensure_packages(["apt", "dpkg"])
    with step("Building the guest's kernel and initramfs", why="76 MB from Debian, once"):
        with tempfile.TemporaryDirectory() as downloads:
            kernel, busybox, *agent = _download(Path(downloads))
            wanted = {f"{module}.ko" for module in MODULES + FILE_SYSTEM}
            files = _unpack(kernel, lambda path: path.name in wanted or path.name.startswith("vmlinuz-"))
            [vmlinuz] = [name for name in files if name.startswith("vmlinuz-")]
            (folder / "vmlinux").write_bytes(uncompressed(files[vmlinuz]))
            shell = _unpack(busybox, lambda path: path == PurePosixPath("./bin/busybox"))
            of_agent = {
                name: _unpack(package, partial(guestagent.wanted, name))
                for name, package in zip(guestagent.PACKAGES, agent, strict=True)
            }
        entries = [*_entries(files, shell["busybox"]), *guestagent.entries(of_agent)]
        (folder / "initramfs").write_bytes(archive(entries))
        (folder / "kernel-version").write_text(vmlinuz.removeprefix("vmlinuz-") + "\n")


def _entries(kernel_files: dict[str, bytes], busybox: bytes) -> list[Entry]:
    missing = [module for module in MODULES + FILE_SYSTEM if f"{module}.ko" not in kernel_files]
    if missing:
        raise ToolError(f"The kernel package of {KERNEL} has no {', '.join(missing)}: use Debian 12's.")
    order = "".join(f"{module} {OPTIONS.get(module, '')}\n" for module in MODULES)
    return [
        *(Entry.folder(name) for name in FOLDERS),
        Entry.file("bin/busybox", busybox, executable=True),
        *(Entry.link(f"bin/{applet}", "busybox") for applet in APPLETS),
        *(Entry.file(f"modules/{module}.ko", kernel_files[f"{module}.ko"]) for module in MODULES + FILE_SYSTEM),
        Entry.file("modules/order", order.encode()),
        Entry.file("modules/data", "".join(f"{module}\n" for module in FILE_SYSTEM).encode()),
        Entry.file("init", INIT.read_bytes(), executable=True),
        Entry.file("bin/silent", SILENT.read_bytes(), executable=True),
    ]


def uncompressed(vmlinuz: bytes) -> bytes:
    """Return the ELF kernel inside an x86 bzImage (Documentation/x86/boot.rst: setup_sects, payload_*)."""
    setup_sectors = vmlinuz[0x1F1] or 4
    offset, length = struct.unpack_from("<II", vmlinuz, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = vmlinuz[start : start + length]
    if not payload.startswith(XZ_MAGIC):
        raise ToolError(f"The kernel of {KERNEL} is not packed by xz, as Debian 12's is: the lab needs that one.")
    # The kernel's build appends the size after the stream, which lzma.decompress() would refuse.
    return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)


def _download(folder: Path) -> list[Path]:
    try:
        return _fetch(folder)
    except ToolError:
        # The lists on this machine are absent or older than the mirror.
        run_logged(["apt-get", "--quiet", "update"], log=build_log("guest-image-apt"), cwd=folder)
        return _fetch(folder)


def _fetch(folder: Path) -> list[Path]:
    """Return the packages of the kernel, of busybox and of the guest agent."""
    names = [_newest_kernel(), BUSYBOX, *guestagent.PACKAGES]
    # apt's own user may not enter the folder of root's download.
    command = ["apt-get", "--quiet", "--option=APT::Sandbox::User=root", "download", *names]
    run_logged(command, log=build_log("guest-image-apt"), cwd=folder)
    return [next(folder.glob(f"{name}_*.deb")) for name in names]


def _newest_kernel() -> str:
    said = _output(["apt-cache", "depends", "--important", KERNEL]).decode()
    names = [line.split()[-1] for line in said.splitlines() if "Depends: linux-image-" in line]
    if not names:
        raise ToolError(f"apt does not know {KERNEL}: run apt-get update, and see that its sources are Debian's.")
    return names[0]


def _unpack(package: Path, wanted: Callable[[PurePosixPath], bool]) -> dict[str, bytes]:
    """Return the wanted files of a Debian package, by their last name."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as unpacking:
        found = {}
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as files:
            for member in files:
                path = PurePosixPath(member.name)
                if member.isfile() and wanted(path) and (content := files.extractfile(member)):
                    found[path.name] = content.read()
    if unpacking.returncode != 0:
        raise ToolError(f"dpkg-deb cannot unpack {package.name}: it may be cut off; run this again.")
    return found


def _output(command: Sequence[str]) -> bytes:
    return subprocess.run(command, capture_output=True, check=True).stdout
