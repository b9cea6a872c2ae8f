"""The control group (version 2) that is one VM's alone: libvirt's for it, or its pod's."""

import re
from pathlib import Path

from virtwatch_api.catalogue import absences

_HIERARCHIES = ("", "unified")
# libvirt names a group after the domain and puts threads into groups below it; the kubelet names one after the pod.
_OF_LIBVIRT = re.compile(
    r"(.*/machine-?qemu[^/]*|.*/[^/]*qemu-\d+-[^/]*)(/libvirt)?(/(emulator|vcpu\d+|iothread\d+))?$"
)
_OF_A_POD = re.compile(r".*pod[0-9a-f]{8}[-_]")


def own_group(process: Path, cgroups: Path) -> tuple[Path | None, str]:
    """Return a QEMU's own group, else None and why there is none, in a sentence.

    `process` is its folder in /proc, `cgroups` the host's /sys/fs/cgroup.
    """
    try:
        lines = (process / "cgroup").read_text().splitlines()
    except OSError:
        return None, absences.UNSEEN_GROUP
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if path is None:
        return None, absences.NO_GROUPS
    if "/.." in path:
        return None, absences.UNSEEN_GROUP
    of_libvirt = _OF_LIBVIRT.match(path)
    if of_libvirt is None and not _OF_A_POD.match(path):
        return None, absences.NO_OWN_GROUP
    inner = (of_libvirt[1] if of_libvirt is not None else path).strip("/")
    for hierarchy in _HIERARCHIES:
        if (group := cgroups / hierarchy / inner / "cgroup.procs").exists():
            return group.parent, ""
    return None, absences.UNSEEN_GROUP
