"""Debian's own qemu-guest-agent in the guest's initramfs, with the libraries that it loads."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType

from lab.guests.initramfs import Entry
from tools.errors import ToolError

PROGRAM = "qemu-ga"
LOADER = "ld-linux-x86-64.so.2"
# Packages, and what of each is needed: libraries by the names under which they are loaded.
PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "qemu-guest-agent": (PROGRAM,),
        "libc6": (LOADER, "libc.so.6", "libm.so.6"),
        "libglib2.0-0": ("libglib-2.0.so.0", "libgmodule-2.0.so.0"),
        "libnuma1": ("libnuma.so.1",),
        "libpcre2-8-0": ("libpcre2-8.so.0",),
        "libudev1": ("libudev.so.1",),
        "liburing2": ("liburing.so.2",),
    }
)
FOLDERS = ("lib", "lib64")
_PLACES = frozenset({"sbin", "x86_64-linux-gnu"})


def wanted(package: str, path: PurePosixPath) -> bool:
    """Return whether a file of a package is needed."""
    return path.parent.name in _PLACES and bool(_named(package, path.name))


def entries(files: Mapping[str, Mapping[str, bytes]]) -> list[Entry]:
    """Return the agent's entries, of the wanted files of each package by their last names."""
    named = {_named(package, name): content for package, found in files.items() for name, content in found.items()}
    missing = [name for names in PACKAGES.values() for name in names if name not in named]
    if missing:
        raise ToolError(f"Debian's packages have no {', '.join(missing)}: the lab needs those of Debian 12.")
    return [
        *(Entry.folder(name) for name in FOLDERS),
        *(Entry.file(_path(name), content, executable=True) for name, content in sorted(named.items())),
    ]


def _named(package: str, file: str) -> str:
    """Return under which of the names a file is loaded; its own goes on with its version."""
    return next((name for name in PACKAGES[package] if file.startswith(name)), "")


def _path(name: str) -> str:
    return f"{ {PROGRAM: 'bin', LOADER: 'lib64'}.get(name, 'lib') }/{name}"
