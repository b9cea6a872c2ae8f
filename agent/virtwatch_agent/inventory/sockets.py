"""Which libvirt sockets there are now: noticed by inotify within a moment, by a slow look where inotify fails."""

import errno
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.inventory.inotify import Inotify

_LOG = logging.getLogger(__name__)
# Below a pod's folder: KubeVirt's emptyDir, which its virt-launcher mounts at /var/run/libvirt.
_RUNTIME = ("volumes", "kubernetes.io~empty-dir", "libvirt-runtime")
_SOCKET = "virtqemud-sock"
_RESCAN = 10.0  # seconds between looks while inotify works: what it cannot see is a mount over a watched folder
_POLL = 1.0  # seconds between looks while it does not
_SETTLE = 0.05  # seconds in which a burst of changes becomes one look
_TRACEBACK = 60.0  # seconds between two tracebacks in the log: a defect that every look meets must not flood it


@dataclass(frozen=True, slots=True)
class Places:
    """Say where sockets appear; what is None is not looked at. Beside `host_socket` virtqemud's own may stand in."""

    pods_dir: Path | None = None
    host_socket: Path | None = None


class SocketWatch:
    """Look for sockets on a thread of its own; tell all addresses each time that they changed."""

    def __init__(self, places: Places, changed: Callable[[frozenset[LibvirtAddress]], None]) -> None:
        self._places = places
        self._changed = changed
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopping = False
        self._complained: set[str] = set()
        self._failures = 0
        self._next_traceback = float("-inf")
        self._thread = threading.Thread(target=self._run, name="sockets", daemon=True)

    def start(self) -> None:
        """Begin; the first look is reported even if it found nothing."""
        self._thread.start()

    def stop(self, deadline: float = 1.0) -> None:
        """End within `deadline` seconds; a look that hangs in the file system is abandoned."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(deadline)
        if not self._thread.is_alive():
            os.close(self._wake)

    def _run(self) -> None:
        inotify = self._inotify()
        known: dict[LibvirtAddress, int] | None = None
        while not self._stopping:
            try:
                watched, found = self._look(inotify)
                if found != known:
                    self._changed(frozenset(found))
                    known = found
                self._wait(inotify, _RESCAN if watched else _POLL)
            except Exception:  # noqa: BLE001 - the loop's edge: without it no new VM would ever be found
                self._failed()
        if inotify is not None:
            inotify.close()

    def _failed(self) -> None:
        self._failures += 1
        if time.monotonic() >= self._next_traceback:
            self._next_traceback = time.monotonic() + _TRACEBACK
            _LOG.exception(
                "Looking for sockets failed and continues (%d so far); please report this as a defect.", self._failures
            )
        self._wait(None, _POLL)

    def _wait(self, inotify: Inotify | None, seconds: float) -> None:
        waiting = [self._wake] if inotify is None else [self._wake, inotify.descriptor]
        ready, _, _ = select.select(waiting, [], [], seconds)
        if inotify is not None and inotify.descriptor in ready:
            select.select([self._wake], [], [], _SETTLE)
            inotify.drain()

    def _look(self, inotify: Inotify | None) -> tuple[bool, dict[LibvirtAddress, int]]:
        """Return whether every folder is watched, and the addresses with their sockets' inodes.

        A new inode under an old name is a new daemon: it is reported again, so that nobody waits to connect.
        """
        watched, found = inotify is not None, {}
        for folder, address in self._candidates():
            if inotify is not None and not self._watch(inotify, folder):
                watched = False
            if address is not None and (inode := self._socket_inode(address)) is not None:
                found[address] = inode
        return watched, found

    def _candidates(self) -> Iterator[tuple[Path, LibvirtAddress | None]]:
        """Name each folder on the way to a socket, before what is in it is read: so nothing falls in between."""
        host, pods = self._places.host_socket, self._places.pods_dir
        if host is not None:
            yield host.parent, LibvirtAddress.of_host(self._answering(host))
        if pods is not None:
            yield pods, None
            for name in self._names(pods):
                yield from self._pod(pods / name, name)

    def _pod(self, folder: Path, uid: str) -> Iterator[tuple[Path, LibvirtAddress | None]]:
        yield folder, None
        for level, part in enumerate(_RUNTIME, start=1):
            folder /= part
            try:
                if not folder.is_dir():
                    return
            except OSError as error:  # of this pod: the others must be found all the same
                self._unreadable(folder, error)
                return
            yield folder, LibvirtAddress.of_pod(uid, folder, _SOCKET) if level == len(_RUNTIME) else None

    def _names(self, folder: Path) -> list[str]:
        try:
            return sorted(path.name for path in folder.iterdir())
        except OSError as error:
            self._complain(
                f"The pods folder {folder} cannot be read ({error.strerror}): KubeVirt's VMs are not seen. Mount the "
                "kubelet's pods folder there, or leave it unset on a host without KubeVirt."
            )
            return []

    def _socket_inode(self, address: LibvirtAddress) -> int | None:
        assert address.folder is not None
        path = address.folder / address.socket
        try:
            # A launcher owns this folder: a link that leads out of it would make us speak to another's libvirt.
            if path.is_symlink() and len(path.readlink().parts) > 1:
                return None
            return path.stat().st_ino if path.is_socket() else None
        except FileNotFoundError:  # it went between two of these calls
            return None
        except OSError as error:
            self._unreadable(path, error)
            return None

    def _answering(self, host: Path) -> Path:
        """Return the host's socket, or virtqemud's beside it where modular daemons run without a virtproxyd."""
        modular = host.with_name(_SOCKET)
        try:
            return modular if modular.is_socket() and not host.exists() else host
        except OSError as error:
            self._unreadable(host, error)
            return host

    def _watch(self, inotify: Inotify, folder: Path) -> bool:
        try:
            inotify.watch(folder)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self._complain(
                    f"No inotify watch is left: {folder} is read each second. Raise fs.inotify.max_user_watches."
                )
            return False
        return True

    def _inotify(self) -> Inotify | None:
        try:
            return Inotify()
        except OSError as error:
            self._complain(f"inotify does not work ({error.strerror}): the socket folders are read each second.")
            return None

    def _unreadable(self, path: Path, error: OSError) -> None:
        self._complain(
            f"{path} cannot be looked at ({error.strerror}): a VM whose libvirt is there is not seen. See on the node "
            "what is wrong with this folder; an agent in a pod needs uid 0 with CAP_DAC_OVERRIDE."
        )

    def _complain(self, message: str) -> None:
        if message not in self._complained:
            self._complained.add(message)
            _LOG.warning("%s", message)
