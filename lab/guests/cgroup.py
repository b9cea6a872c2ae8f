"""Control groups named after the run, so that what a crash leaves behind can be found and removed."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from lab.process import wait_for
from lab.rundir import RunDir

REMOVAL_DEADLINE_S = 60.0
# Ten times what a group has by itself: the CPU controller of cgroup v1, and of v2.
PREFERRED = {"cpu.shares": 10240, "cpu.weight": 1000}
# A command that removes groups with all below them. The kernel counts a killed process in for a moment after it has
# gone; 10 s in all.
REMOVE = (
    'for top in "$@"; do n=0; while [ -d "$top" ] && ! find "$top" -depth -type d -exec rmdir {} +; do '
    "n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done 2> /dev/null; done"
)


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One group in every hierarchy of the machine (several with cgroup v1, one with v2)."""

    tops: tuple[Path, ...]
    path: Path

    @classmethod
    def of_pod(cls, pod_uid: str, *, run: RunDir) -> Self:
        """Name the group in which a kubelet would run this pod's container.

        It stands below this process' own group, as for a kubelet with a `cgroupRoot`.
        """
        container = hashlib.sha256(pod_uid.encode()).hexdigest()
        tops = tuple(own / f"virtwatch-lab-{run.name}" for own in _own_groups())
        return cls(tops, Path("kubepods") / "burstable" / f"pod{pod_uid}" / container)

    def make(self, *, run: RunDir) -> None:
        """Make the group in every hierarchy."""
        for top in self.tops:
            run.record_undo("sh", "-c", REMOVE, "remove", str(top))
            for folder in [top, *(top / part for part in reversed([self.path, *list(self.path.parents)[:-1]]))]:
                folder.mkdir(exist_ok=True)
                _inherit_cpus(folder)

    def adopt(self, pid: int) -> None:
        """Move a process into the group; what it starts from now on is born there."""
        for top in self.tops:
            (top / self.path / "cgroup.procs").write_text(str(pid))

    def prefer(self) -> None:
        """Let the run's groups have CPU time before what else the machine does, as far as they ask for it."""
        for top in self.tops:
            prefer(top)

    def remove(self) -> None:
        """Remove the group, and those above it that this leaves empty. Its processes have ended or are ending."""
        for top in self.tops:
            group = top / self.path
            # The kernel counts a killed process in for a moment after it has gone.
            wait_for(partial(_removed, group), what=f"{group} to be empty", deadline=REMOVAL_DEADLINE_S)
            for above in list(group.parents)[: len(self.path.parts)]:
                if not _removed(above):
                    break


def prefer(group: Path) -> None:
    """Let a group, in one hierarchy, have CPU time before its siblings, as far as it asks for it."""
    for name, weight in PREFERRED.items():
        if (group / name).exists():
            (group / name).write_text(str(weight))


def _own_groups() -> list[Path]:
    """Return this process' group in each hierarchy that can be written."""
    paths = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        paths[controllers] = path
    own = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, (kind, _, options, *_) = (part.split() for part in line.partition(" - "))
        if kind == "cgroup2":
            own.append(Path(fields[4] + paths[""]))
        elif kind == "cgroup":
            names = next(name for name in paths if name and set(name.split(",")) <= set(options.split(",")))
            own.append(Path(fields[4] + paths[names]))
    return own


def _inherit_cpus(group: Path) -> None:
    # A new cpuset group of cgroup v1 takes no process until it has CPUs and memory nodes.
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and (group.parent / name).exists():
            (group / name).write_text((group.parent / name).read_text())


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
