"""In which storage pools an event of a VM counts: those on which its disks lie, each by what identifies it.

Another kind of pool is one more function of a VM and a disk in `_SOURCES`.
"""

from collections.abc import Callable, Sequence

from virtwatch_agent.core.objects import Objects
from virtwatch_agent.inventory.pools import pool_of
from virtwatch_agent.judge.virtual_machine import VirtualMachine
from virtwatch_agent.observations import Disk, TargetEvent
from virtwatch_api.nodemonitor import Pool


def pools_of(machine: VirtualMachine, event: TargetEvent, objects: Objects) -> Sequence[Pool]:
    """Return the pools of a VM's disks; of an event of one device, the pool of that disk alone."""
    device = event.attributes.get("device", "")
    disks = [disk for disk in machine.domain.disks if device in ("", disk.device)]
    found = (source(machine, disk, objects) for disk in disks for source in _SOURCES)
    return tuple(dict.fromkeys(pool for pool in found if pool is not None))


def _of_libvirt(machine: VirtualMachine, disk: Disk, objects: Objects) -> Pool | None:
    known = pool_of(disk, machine.domain.connection, objects.pools)
    return None if known is None else Pool(known.target.id, known.name)


def _of_kubernetes(machine: VirtualMachine, disk: Disk, _: Objects) -> Pool | None:
    """Take the StorageClass of a KubeVirt disk for the pool that its VMs share."""
    volume = machine.identity.volumes.get(disk.volume) if machine.identity is not None else None
    if volume is None or not volume.storage_class:
        return None
    return Pool(f"storageclass/{volume.storage_class}", volume.storage_class)


def place_of(machine: VirtualMachine, device: str) -> str:
    """Say what stands behind a disk of a KubeVirt VM, for people; empty where it is no claim's."""
    disk = next((disk for disk in machine.domain.disks if device and disk.device == device), None)
    volume = machine.identity.volumes.get(disk.volume) if machine.identity is not None and disk is not None else None
    if volume is None:
        return ""
    return f"PVC {volume.claim}" + (f", StorageClass {volume.storage_class}" if volume.storage_class else "")


_SOURCES: tuple[Callable[[VirtualMachine, Disk, Objects], Pool | None], ...] = (_of_libvirt, _of_kubernetes)
