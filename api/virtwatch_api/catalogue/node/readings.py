"""The readings of a node: what the kernel counts for it, and what its VMs were promised."""

from virtwatch_api.catalogue.entries import Instrument, Reading, Source, TargetKind


def _reading(key: str, metric: str, unit: str, description: str, *, counter: bool = False) -> Reading:
    instrument = Instrument.COUNTER if counter else Instrument.GAUGE
    return Reading(key, metric, unit, instrument, Source.NODE, description, target=TargetKind.NODE)


READINGS: tuple[Reading, ...] = (
    _reading("node.cpu.busy", "system.cpu.busy.time", "s", "CPU time that the node's CPUs were busy.", counter=True),
    _reading("node.cpu.count", "system.cpu.logical.count", "{cpu}", "CPUs of the node."),
    _reading("node.memory.available", "system.memory.linux.available", "By", "Memory that programs can still get."),
    _reading("node.memory.total", "system.memory.limit", "By", "Memory of the node."),
    _reading("node.vcpus", "libvirt.host.vcpu.count", "{cpu}", "vCPUs of all running VMs of the node."),
    _reading("node.vm.memory", "libvirt.host.domain.memory", "By", "Memory given to all running VMs of the node."),
)
