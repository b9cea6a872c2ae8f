"""Where a libvirt is to be reached. A address outlives its connections."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import quote


class AddressKind(Enum):
    """Return what a libvirt belongs to: it decides what its loss means and what is to be done about it."""

    POD = "pod"
    HOST = "host"
    URI = "uri"


@dataclass(frozen=True, slots=True)
class LibvirtAddress:
    """Name one libvirt. `name` is for people; `folder` and `socket` are unset for a URI given by hand."""

    kind: AddressKind
    name: str
    uri: str = ""
    folder: Path | None = None
    socket: str = ""
    pod_uid: str | None = None

    @classmethod
    def of_pod(cls, pod_uid: str, folder: Path, socket: str) -> "LibvirtAddress":
        """Name the virtqemud of a virt-launcher pod; /session is right for a root and for a non-root launcher."""
        return cls(AddressKind.POD, f"pod/{pod_uid}", "qemu+unix:///session", folder, socket, pod_uid)

    @classmethod
    def of_host(cls, socket: Path) -> "LibvirtAddress":
        """Name the host's own libvirtd or virtqemud."""
        return cls(AddressKind.HOST, str(socket), "qemu+unix:///system", socket.parent, socket.name)

    @classmethod
    def of_uri(cls, uri: str) -> "LibvirtAddress":
        """Name a libvirt by the URI that a person gave."""
        return cls(AddressKind.URI, uri, uri)

    @property
    def folder_exists(self) -> bool:
        """Return whether the socket's folder may be there; without it the socket can never come back."""
        try:
            return self.folder is None or self.folder.is_dir()
        except OSError:  # a file system that fails for now: its libvirt must not be given up for good
            return True

    @contextmanager
    def address(self) -> Iterator[str]:
        """Give the URI to open; it holds only inside the context.

        A Unix socket's path has 107 characters, a kubelet's is 121: the folder is opened and named through /proc.
        """
        if self.folder is None:
            yield self.uri
            return
        descriptor = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"{self.uri}?socket={quote(f'/proc/self/fd/{descriptor}/{self.socket}')}"
        finally:
            os.close(descriptor)
