"""What libvirt found out about QEMU, kept between runs: finding out takes 2 to 40 s of a daemon's first start.

Libvirt itself checks what it is given (times of both programs, kernel, /dev/kvm) and probes again where it must.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tools.cache import cached
from tools.progress import step

PROGRAMS = (Path("/usr/sbin/libvirtd"), Path("/usr/bin/qemu-system-x86_64"))


def capabilities(kind: str, probe: Callable[[], Path]) -> Path:
    """Return the folder of probed capabilities; `probe` lets a fresh daemon of this kind fill one and returns it.

    A user's daemon and root's differ: only root's may use /dev/kvm.
    """
    stats = [program.stat() for program in PROGRAMS]
    programs = repr([(stat.st_size, stat.st_ctime_ns) for stat in stats])
    inputs = (programs, os.uname().release, os.uname().version, str(os.access("/dev/kvm", os.R_OK | os.W_OK)))

    def build(folder: Path) -> None:
        with step(f"Letting libvirt probe QEMU ({kind})", why="once per version of either"):
            shutil.copytree(probe(), folder, dirs_exist_ok=True)

    return cached(f"libvirt-capabilities-{kind}", [text.encode() for text in inputs], build)
