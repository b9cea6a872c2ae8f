"""A node's own top of every control group hierarchy: two kubelets in one would delete each other's pods' groups."""

from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.rundir import RunDir

# The kernel counts a killed process in for a moment after it has gone; 10 s in all.
_REMOVE = (
    'for top in "$@"; do n=0; while [ -d "$top" ] && ! find "$top" -depth -type d -exec rmdir {} +; do '
    "n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done 2> /dev/null; done"
)


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where the machine's control groups are mounted: one folder with cgroup v2, one for each controller with v1."""

    mounts: tuple[Path, ...]
    unified: bool

    @classmethod
    def found(cls, mountinfo: str) -> "Hierarchies":
        """Read /proc/self/mountinfo. Where v1 and v2 stand side by side, v1 has the controllers."""
        kinds: dict[str, list[Path]] = {"cgroup": [], "cgroup2": []}
        for line in mountinfo.splitlines():
            point, kind = line.split()[4], line.partition(" - ")[2].split()[0]
            if kind in kinds:
                kinds[kind].append(Path(point))
        return cls(tuple(kinds["cgroup"] + kinds["cgroup2"]), unified=not kinds["cgroup"])


def hierarchies() -> Hierarchies:
    """Return this machine's."""
    return Hierarchies.found(Path("/proc/self/mountinfo").read_text())


def make_top(name: str, *, run: RunDir) -> str:
    """Make the group `name` at the top of every hierarchy and return what a kubelet calls it."""
    found = hierarchies()
    tops = [mount / name for mount in found.mounts]
    for top in tops:
        if found.unified:
            _delegate(top.parent, run)
    run.record_undo("sh", "-c", _REMOVE, "remove", *map(str, tops))
    for top in tops:
        top.mkdir(exist_ok=True)
        _inherit_cpus(top)
    return f"/{name}"


def _delegate(group: Path, run: RunDir) -> None:
    # A child of a v2 group has the controllers that its parent hands down.
    handed_down = group / "cgroup.subtree_control"
    missing = set((group / "cgroup.controllers").read_text().split()) - set(handed_down.read_text().split())
    if not missing:
        return
    # It stays where another run's groups need it by now; the last one's undo takes it back.
    taken_back = " ".join(f"-{controller}" for controller in sorted(missing))
    run.record_undo("sh", "-c", f"echo '{taken_back}' > {handed_down} || :")
    try:
        handed_down.write_text(" ".join(f"+{controller}" for controller in sorted(missing)))
    except OSError as error:
        raise LabError(
            f"{handed_down} does not take {', '.join(sorted(missing))} ({error.strerror}): "
            "let the machine's init hand them down, or run the lab in a group that may."
        ) from error


def _inherit_cpus(group: Path) -> None:
    # A new cpuset group of cgroup v1 takes no process until it has CPUs and memory nodes.
    for name in ("cpuset.cpus", "cpuset.mems"):
        above = group.parent / name
        if (group / name).exists() and above.exists() and not (group / name).read_text().strip():
            (group / name).write_text(above.read_text())
