"""Which QEMU process runs a domain. /proc is read only when a domain has no known process."""

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from virtwatch_agent.inventory.cpu_limits import cpu_limits

# The kernel keeps 15 characters of a name (qemu-system-aar); qemu-kvm is CentOS' name and so KubeVirt's.
_NAMES = (b"qemu-system-", b"qemu-kvm")
_POD = re.compile(rb"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")  # systemd's driver writes underscores
_VCPU = re.compile(r"CPU (\d+)/")  # QEMU names its vCPU threads "CPU 0/KVM" or "CPU 0/TCG"
_TICKS = os.sysconf("SC_CLK_TCK")
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD of its flags
_CMDLINE_DEADLINE_S = 1.0
_STUCK_RETRY_S = 30.0  # before a command line that could not be read in time is tried again
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class DescriptorsExhaustedError(Exception):
    """Say that this process may open no more files: what cannot be opened has not ended."""

    def __init__(self) -> None:
        super().__init__(
            "the agent may open no more files, so some VMs have no figures of the kernel: raise its limit of open "
            "files (ulimit -n; LimitNOFILE= of a systemd unit or of the container runtime)"
        )


@dataclass(frozen=True, slots=True)
class QemuProcess:
    """Name one QEMU: `started` is seconds since 1970, `vcpus` the thread of each vCPU.

    `cpu_limits` are the cpu.stat of the control groups that limit its CPU time, None where nobody can tell.
    """

    folder: Path
    incarnation: str
    started: float
    vcpus: Mapping[int, Path]
    cpu_limits: tuple[Path, ...] | None = None


@dataclass(slots=True)
class _Candidate:
    folder: Path
    ticks: int
    comm: bytes
    pod_uid: str | None
    named: bool  # it is called as QEMU is; what is not is believed by its command line alone
    uuid: str | None = None  # "" where its command line names none; None until that was read
    tried_at: float = float("-inf")  # monotonic seconds
    kernel: bool = False  # a thread of the kernel, which has no command line


class ProcessTable:
    """Find QEMU processes; what was found is kept, so that many domains cost one scan. Safe for threads."""

    def __init__(
        self, proc: Path, cgroups: Path = Path("/sys/fs/cgroup"), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the host's `/proc` and `/sys/fs/cgroup` at these places; `clock` is monotonic seconds."""
        self.proc = self._proc = proc
        self.cgroups = self._cgroups = cgroups
        self._clock = clock
        self._lock = threading.Lock()
        self._candidates: dict[str, _Candidate] = {}  # by the process' number
        self._by_uuid: dict[str, _Candidate] = {}
        self._by_pod: dict[str, _Candidate] = {}
        # Whether a QEMU was ever seen: this /proc shows the host, and who is not in it is not there.
        self.usable = False

    def find(self, uuid: str, pod_uid: str | None) -> QemuProcess | None:
        """Return the process that runs a domain, in a launcher pod or on the host; None when there is none.

        Raises:
            DescriptorsExhaustedError: nobody can tell.
        """
        with self._lock:
            found = self._known(uuid, pod_uid)
            if found is None:
                self._scan(with_uuids=pod_uid is None)
                found = self._known(uuid, pod_uid)
        return None if found is None else self._process(found)

    def _known(self, uuid: str, pod_uid: str | None) -> _Candidate | None:
        # A pod runs one QEMU. Nothing that the pod itself controls is believed, and no command line is read.
        found = self._by_uuid.get(uuid) if pod_uid is None else self._by_pod.get(pod_uid)
        return found if found is not None and _ticks(found.folder) == found.ticks else None

    def _scan(self, *, with_uuids: bool) -> None:
        known, self._candidates = self._candidates, {}
        for folder in self._proc.iterdir():
            if folder.name.isdigit() and (found := _candidate(folder, known.get(folder.name))) is not None:
                self._candidates[folder.name] = found
        named = [found for found in self._candidates.values() if found.named]
        self.usable = self.usable or bool(named)
        self._by_pod = {found.pod_uid: found for found in reversed(named) if found.pod_uid is not None}
        if with_uuids:
            self._read_uuids()
        # Of two with one UUID (a migration between two libvirts of this machine) the host's own comes last, and counts.
        order = sorted(self._candidates.values(), key=lambda found: (found.pod_uid is None, found.named))
        self._by_uuid = {found.uuid: found for found in order if found.uuid}

    def _read_uuids(self) -> None:
        """Read the command lines that were not read yet: nobody can rename what stands there."""
        now = self._clock()
        for found in self._candidates.values():
            if found.uuid is None and not found.kernel and now - found.tried_at >= _STUCK_RETRY_S:
                line = _cmdline(found.folder)
                if line is None:
                    found.tried_at = now
                elif line:  # that of a program that is just being started is empty for a moment
                    found.uuid = _uuid(line)

    def _process(self, found: _Candidate) -> QemuProcess | None:
        try:
            boot = re.search(rb"^btime (\d+)", (self._proc / "stat").read_bytes(), re.MULTILINE)
            started = float(boot[1] if boot else 0) + found.ticks / _TICKS
            vcpus = vcpu_threads(found.folder)
            limits = cpu_limits(vcpus.values(), self._cgroups)
            return QemuProcess(found.folder, f"{found.folder.name}-{found.ticks}", started, vcpus, limits)
        except OSError as error:
            refuse_exhaustion(error)
            return None


def process_number(incarnation: str) -> int | None:
    """Return the process that an incarnation names; None where libvirt alone reports it."""
    number, dash, _ = incarnation.partition("-")
    return int(number) if dash and number.isdigit() else None


def refuse_exhaustion(error: OSError) -> None:
    """Raise DescriptorsExhaustedError where an error says that this process may open no more files."""
    if error.errno in _NO_DESCRIPTORS:
        raise DescriptorsExhaustedError from error


def vcpu_threads(folder: Path) -> dict[int, Path]:
    """Return the thread of each vCPU of a QEMU process; OSError when it is gone."""
    threads = ((task, _VCPU.match((task / "comm").read_text())) for task in (folder / "task").iterdir())
    return dict(sorted((int(match[1]), task) for task, match in threads if match))


def _candidate(folder: Path, known: _Candidate | None) -> _Candidate | None:
    """Return a process as it is now; what was read of it stays true until it starts another program."""
    try:
        comm = (folder / "comm").read_bytes()
        if (status := _status(folder)) is None:
            return None
        ticks, kernel = status
        if known is not None and (known.ticks, known.comm) == (ticks, comm):
            return known
        pods = _POD.findall((folder / "cgroup").read_bytes())
    except OSError as error:
        refuse_exhaustion(error)
        return None  # it ended while we looked
    # The innermost pod is the one that counts: this node may itself run in a pod.
    pod_uid = pods[-1].decode().replace("_", "-") if pods else None
    return _Candidate(folder, ticks, comm, pod_uid, named=comm.startswith(_NAMES), kernel=kernel)


def _ticks(folder: Path) -> int | None:
    """Return when a process started, in ticks since boot; None when it is gone or a zombie."""
    return None if (status := _status(folder)) is None else status[0]


def _status(folder: Path) -> tuple[int, bool] | None:
    """Return when a process started, in ticks since boot, and whether it is the kernel's; None when it is gone."""
    try:
        fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError as error:
        refuse_exhaustion(error)
        return None
    return None if fields[0] in b"ZX" else (int(fields[19]), bool(int(fields[6]) & _KERNEL_THREAD))


def _uuid(line: bytes) -> str:
    """Return the UUID that a command line starts a QEMU with; "" when it starts none."""
    given = dict(pairwise(line.split(b"\0")))
    return given[b"-uuid"].decode(errors="replace") if b"-uuid" in given and b"-name" in given else ""


def _cmdline(folder: Path) -> bytes | None:
    """Read a command line; None when that takes too long.

    It waits for the lock of the process' memory, which a process that is stuck in the kernel may hold for ever: one
    such QEMU must not hide all others.
    """
    read: list[bytes | OSError] = []

    def work() -> None:
        try:
            read.append((folder / "cmdline").read_bytes())
        except OSError as error:
            read.append(error)

    reader = threading.Thread(target=work, name="cmdline", daemon=True)
    reader.start()
    reader.join(_CMDLINE_DEADLINE_S)
    match read:
        case [bytes() as line]:
            return line
        case [OSError() as error]:
            refuse_exhaustion(error)
            return b"\0"  # it ended while we looked, or nobody may read it
        case _:
            return None
