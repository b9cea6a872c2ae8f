"""Find the VMs of a kept run again, from another process: the run's folder remembers what made them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.guests.kept import FILE as GUESTS
from lab.keep import newest_kept
from lab.kubevirt.hostdisk import HostDisk
from lab.kubevirt.vm import VirtualMachine, VmSpec
from lab.node.cluster import Cluster
from lab.rundir import RunDir

FILE = "vms.json"


@dataclass(frozen=True, slots=True)
class KeptVm:
    """A VM, the cluster on which it runs, and the disk that can run out of room where it has one."""

    vm: VirtualMachine
    cluster: Cluster
    disk: HostDisk | None


def remember_vms(run: RunDir, *, nodes: Iterable[str], specs: Iterable[VmSpec]) -> None:
    """Write down a run's nodes and VMs."""
    kept = {"nodes": list(nodes), "vms": [asdict(spec) for spec in specs]}
    (run.path / FILE).write_text(json.dumps(kept, default=str))


def find_vm(name: str) -> KeptVm | None:
    """Return a VM of the run that this checkout kept last, None where that has no such VM."""
    run = newest_kept(GUESTS)
    if run is None or not (run.path / FILE).exists():
        return None
    kept = json.loads((run.path / FILE).read_text())
    found = next((entry for entry in kept["vms"] if entry["name"] == name), None)
    if found is None:
        return None
    cluster = Cluster(run)
    cluster.attach(kept["nodes"])
    on_disk = found["host_disk"] is not None
    spec = VmSpec(**{**found, "host_disk": Path(found["host_disk"]) if on_disk else None})
    disk = HostDisk(cluster.nodes[spec.node], name) if on_disk else None
    return KeptVm(VirtualMachine(cluster.control_plane, spec), cluster, disk)
