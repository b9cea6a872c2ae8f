"""Which QEMU process runs a domain. /proc is read only when a domain has no known process."""

import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

# The kernel keeps 15 characters of a name (qemu-system-aar); qemu-kvm is CentOS' name and so KubeVirt's.
_NAMES = (b"qemu-system-", b"qemu-kvm")
_POD = re.compile(rb"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")  # systemd's driver writes underscores
_VCPU = re.compile(r"CPU (\d+)/")  # QEMU names its vCPU threads "CPU 0/KVM" or "CPU 0/TCG"
_TICKS = os.sysconf("SC_CLK_TCK")
_CMDLINE_DEADLINE = 1.0


@dataclass(frozen=True, slots=True)
class QemuProcess:
    """Name one QEMU: `started` is seconds since 1970, `vcpus` the thread of each vCPU."""

    folder: Path
    incarnation: str
    started: float
    vcpus: Mapping[int, Path]


@dataclass(slots=True)
class _Candidate:
    folder: Path
    ticks: int
    pod_uid: str | None
    uuid: str | None = None  # read when it is needed, and then kept


class ProcessTable:
    """Find QEMU processes; what was found is kept, so that many domains cost one scan. Safe for threads."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._lock = threading.Lock()
        self._candidates: list[_Candidate] = []
        self.usable = (
            False  # whether a QEMU was ever seen: this /proc shows the host, and who is not in it is not there
        )

    def find(self, uuid: str, pod_uid: str | None) -> QemuProcess | None:
        """Return the process that runs a domain, in a launcher pod or on the host; None when there is none."""
        with self._lock:
            found = self._match(uuid, pod_uid)
            if found is None:
                self._scan()
                found = self._match(uuid, pod_uid)
        return None if found is None else self._process(found)

    def _match(self, uuid: str, pod_uid: str | None) -> _Candidate | None:
        living = [candidate for candidate in self._candidates if _ticks(candidate.folder) == candidate.ticks]
        if pod_uid is not None:
            # A pod runs one QEMU. Nothing that the pod itself controls is believed, and no command line is read.
            return next((candidate for candidate in living if candidate.pod_uid == pod_uid), None)
        # Of two with one UUID (a migration between two libvirts of this machine) the host's own comes first.
        living.sort(key=lambda candidate: candidate.pod_uid is not None)
        return next((candidate for candidate in living if _uuid(candidate) == uuid), None)

    def _scan(self) -> None:
        kept = {(candidate.folder, candidate.ticks): candidate for candidate in self._candidates}
        self._candidates = [kept.get((found.folder, found.ticks), found) for found in self._qemus()]
        self.usable = self.usable or bool(self._candidates)

    def _qemus(self) -> Iterator[_Candidate]:
        for folder in self._proc.iterdir():
            if not folder.name.isdigit():
                continue
            try:
                if (folder / "comm").read_bytes().startswith(_NAMES) and (ticks := _ticks(folder)) is not None:
                    pods = _POD.findall((folder / "cgroup").read_bytes())
                    # The innermost pod is the one that counts: this node may itself run in a pod.
                    yield _Candidate(folder, ticks, pods[-1].decode().replace("_", "-") if pods else None)
            except OSError:
                continue  # It ended while we looked.

    def _process(self, found: _Candidate) -> QemuProcess | None:
        try:
            boot = re.search(rb"^btime (\d+)", (self._proc / "stat").read_bytes(), re.MULTILINE)
            started = float(boot[1] if boot else 0) + found.ticks / _TICKS
            return QemuProcess(found.folder, f"{found.folder.name}-{found.ticks}", started, vcpu_threads(found.folder))
        except OSError:
            return None


def vcpu_threads(folder: Path) -> dict[int, Path]:
    """Return the thread of each vCPU of a QEMU process; OSError when it is gone."""
    threads = ((task, _VCPU.match((task / "comm").read_text())) for task in (folder / "task").iterdir())
    return dict(sorted((int(match[1]), task) for task, match in threads if match))


def _ticks(folder: Path) -> int | None:
    """Return when a process started, in ticks since boot; None when it is gone or a zombie."""
    try:
        fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in b"ZX" else int(fields[19])


def _uuid(candidate: _Candidate) -> str | None:
    if candidate.uuid is None:
        arguments = _cmdline(candidate.folder).split(b"\0")
        given = dict(pairwise(arguments))
        candidate.uuid = given.get(b"-uuid", b"").decode(errors="replace")
    return candidate.uuid


def _cmdline(folder: Path) -> bytes:
    """Read a command line; empty when that takes too long.

    It waits for the lock of the process' memory, which a process that is stuck in the kernel may hold for ever: one
    such QEMU must not hide all others.
    """
    read: list[bytes] = []

    def work() -> None:
        try:
            read.append((folder / "cmdline").read_bytes())
        except OSError:
            read.append(b"")  # It ended while we looked.

    reader = threading.Thread(target=work, name="cmdline", daemon=True)
    reader.start()
    reader.join(_CMDLINE_DEADLINE)
    return read[0] if read else b""
