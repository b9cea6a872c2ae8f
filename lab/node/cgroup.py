"""A node's own top of every control group hierarchy: two kubelets in one would delete each other's pods' groups."""

from dataclasses import dataclass
from pathlib import Path

from lab.guests.cgroup import REMOVE
from lab.rundir import RunDir
from tools.cache import cache_root, locked
from tools.errors import ToolError

# What runs had the machine's first group of cgroup v2 hand down, until the last of them takes it back; /run is empty
# after a boot, and so is what was handed down.
LENT = Path("/run/virtwatch-lab.controllers")


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
    lent = {top: hand_down(top.parent, run=run) for top in tops if found.unified}
    run.record_undo("sh", "-c", REMOVE, "remove", *map(str, tops))
    for top in tops:
        top.mkdir(exist_ok=True)
        _inherit_cpus(top)
    for top, controllers in lent.items():
        # From now on other runs cannot take them back.
        _add(controllers, to=top)
    return f"/{name}"


def hand_down(group: Path, *, run: RunDir, lent: Path = LENT) -> frozenset[str]:
    """Let the children of a cgroup v2 group have all its controllers; return those that the lab must take back.

    Every run that depends on them says so: the kernel refuses while another run's groups use them, and the last one
    ends it.
    """
    with locked(cache_root() / ".cgroup.lock", what="handing down control group controllers"):
        missing = _words(group / "cgroup.controllers") - _words(group / "cgroup.subtree_control")
        ours = missing | (_words(lent) if lent.exists() else frozenset())
        if ours:
            taken_back = " ".join(f"-{name}" for name in sorted(ours))
            file = group / "cgroup.subtree_control"
            run.record_undo("sh", "-c", f"! echo '{taken_back}' 2> /dev/null > {file} || rm --force {lent}")
            lent.write_text(" ".join(sorted(ours)))
            _add(ours, to=group)
    return ours


def _words(file: Path) -> frozenset[str]:
    return frozenset(file.read_text().split())


def _add(controllers: frozenset[str], *, to: Path) -> None:
    if not controllers:
        return
    file = to / "cgroup.subtree_control"
    try:
        file.write_text(" ".join(f"+{name}" for name in sorted(controllers)))
    except OSError as error:
        raise ToolError(
            f"{file} does not take {', '.join(sorted(controllers))} ({error.strerror}): "
            "let the machine's init hand them down, or run the lab in a group that may."
        ) from error


def _inherit_cpus(group: Path) -> None:
    # A new cpuset group of cgroup v1 takes no process until it has CPUs and memory nodes.
    for name in ("cpuset.cpus", "cpuset.mems"):
        above = group.parent / name
        if (group / name).exists() and above.exists() and not (group / name).read_text().strip():
            (group / name).write_text(above.read_text())
