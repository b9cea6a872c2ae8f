"""Which control groups limit a QEMU's CPU time: what they withhold is the VM's own limit, not the host's fault."""

from collections.abc import Iterable, Iterator
from pathlib import Path

_V1_HIERARCHIES = ("cpu,cpuacct", "cpu")
_V2_HIERARCHIES = ("", "unified")


def cpu_limits(threads: Iterable[Path], cgroups: Path) -> tuple[Path, ...] | None:
    """Return the cpu.stat of each group that limits one of these threads; None where no group's limit can be read.

    `threads` are folders of /proc/<pid>/task, `cgroups` is the host's /sys/fs/cgroup. libvirt gives each vCPU a group
    of its own, a container has one for all, and a pod may have one around it: all of a thread's ancestors count.
    """
    found: dict[Path, bool] = {}
    for thread in threads:
        for group in _groups(thread, cgroups):
            if group not in found and (limited := _is_limited(group)) is not None:
                found[group] = limited
    return tuple(group / "cpu.stat" for group, limited in found.items() if limited) if found else None


def throttled_seconds(text: bytes) -> float:
    """Read from a cpu.stat how long the group's threads were kept from running, in seconds."""
    fields = dict(line.split(b" ", 1) for line in text.splitlines() if b" " in line)
    if b"throttled_usec" in fields:
        return int(fields[b"throttled_usec"]) * 1e-6
    return int(fields.get(b"throttled_time", b"0")) * 1e-9


def _groups(thread: Path, cgroups: Path) -> Iterator[Path]:
    """Yield the thread's groups that have a CPU controller, innermost first, without the root, which has no limit."""
    try:
        lines = (thread / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        inner = path.strip("/")
        if ".." in path or not inner or not (number == "0" or "cpu" in controllers.split(",")):
            continue
        for hierarchy in _V2_HIERARCHIES if number == "0" else _V1_HIERARCHIES:
            group = cgroups / hierarchy / inner
            if group.is_dir():
                yield group
                yield from list(group.parents)[: inner.count("/")]
                break


def _is_limited(group: Path) -> bool | None:
    """Return whether a group has a limit of CPU time; None when it has no CPU controller."""
    for file, unlimited in (("cpu.max", "max"), ("cpu.cfs_quota_us", "-1")):
        try:
            return not (group / file).read_text().startswith(unlimited)
        except OSError:
            continue
    return None
