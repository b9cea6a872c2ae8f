"""The readings of a node: what the kernel counts for it, what its VMs were promised, and what the agent costs it."""

from virtwatch_api.catalogue import absences
from virtwatch_api.catalogue.entries import Instrument, Reading, Source, TargetKind

_DISK = "system.device"
_NIC = "network.interface.name"
_PAGE_SIZE = "system.memory.linux.hugepages.page_size"
Attributes = tuple[tuple[str, str], ...]


def _gauge(
    key: str,
    metric: str,
    unit: str,
    source: Source,
    description: str,
    *,
    device: str | None = None,
    of: Attributes = (),
    absent: str = "",
) -> Reading:
    return Reading(key, metric, unit, Instrument.GAUGE, source, description, of, device, TargetKind.NODE, absent)


def _counter(
    key: str,
    metric: str,
    unit: str,
    source: Source,
    description: str,
    *,
    device: str | None = None,
    of: Attributes = (),
) -> Reading:
    return Reading(key, metric, unit, Instrument.COUNTER, source, description, of, device, TargetKind.NODE)


def _way(kind: str, value: str) -> Attributes:
    return ((f"{kind}.direction", value),)


_BASIC = (
    _counter("node.cpu.busy", "system.cpu.busy.time", "s", Source.NODE, "CPU time that the node's CPUs were busy."),
    _counter(
        "node.cpu.iowait",
        "system.cpu.time",
        "s",
        Source.NODE,
        "CPU time that the node's CPUs were idle while a task waited for a disk.",
        of=(("cpu.mode", "iowait"),),
    ),
    _counter(
        "node.cpu.steal",
        "system.cpu.time",
        "s",
        Source.NODE,
        "CPU time that the hypervisor below took from the node, where the node is a VM itself.",
        of=(("cpu.mode", "steal"),),
    ),
    _gauge("node.cpu.count", "system.cpu.logical.count", "{cpu}", Source.NODE, "CPUs of the node."),
    _gauge(
        "node.load",
        "system.linux.cpu.load_1m",
        "{task}",
        Source.NODE,
        "Tasks that run, wait for a CPU or wait for a disk, mean of a minute (load average).",
    ),
    _gauge(
        "node.memory.available",
        "system.memory.linux.available",
        "By",
        Source.NODE,
        "Memory that programs can still get.",
    ),
    _gauge("node.memory.total", "system.memory.limit", "By", Source.NODE, "Memory of the node."),
    _gauge(
        "node.swap.used",
        "system.paging.usage",
        "By",
        Source.NODE,
        "Swap space that is in use.",
        absent=absences.NO_SWAP,
        of=(("system.paging.state", "used"),),
    ),
    _gauge(
        "node.swap.total", "system.paging.limit", "By", Source.NODE, "Swap space of the node.", absent=absences.NO_SWAP
    ),
    *(
        _counter(
            f"node.swap.{way}",
            "system.paging.io",
            "By",
            Source.NODE,
            f"Bytes that the node swapped {way}.",
            of=_way("system.paging", way),
        )
        for way in ("in", "out")
    ),
    _gauge("node.vcpus", "libvirt.host.vcpu.count", "{cpu}", Source.NODE, "vCPUs of all running VMs of the node."),
    _gauge(
        "node.vm.memory",
        "libvirt.host.domain.memory",
        "By",
        Source.NODE,
        "Memory given to all running VMs of the node.",
    ),
)

_DISKS = (
    *(
        _counter(
            f"node.disk.{way}.{what}", metric, unit, Source.NODE_DISKS, text, device=_DISK, of=_way("disk.io", way)
        )
        for way, past in (("read", "read"), ("write", "written"))
        for what, metric, unit, text in (
            ("bytes", "system.disk.io", "By", f"Bytes {past} by the node's disk."),
            ("operations", "system.disk.operations", "{operation}", f"Completed {way} operations of the node's disk."),
            (
                "time",
                "system.disk.operation_time",
                "s",
                f"Time that {way} operations of the node's disk took, summed.",
            ),
        )
    ),
    _counter(
        "node.disk.busy",
        "system.disk.io_time",
        "s",
        Source.NODE_DISKS,
        "Time that the node's disk had at least one operation to do.",
        device=_DISK,
    ),
)

_NETWORK = tuple(
    _counter(
        f"node.network.{way}.{what}", metric, unit, Source.NODE_NETWORK, text, device=_NIC, of=_way("network.io", way)
    )
    for way in ("receive", "transmit")
    for what, metric, unit, text in (
        ("bytes", "system.network.io", "By", f"Bytes that the node's NIC {way}s."),
        ("packets", "system.network.packet.count", "{packet}", f"Packets that the node's NIC {way}s."),
        ("drops", "system.network.packet.dropped", "{packet}", f"Packets that the node dropped on {way}."),
        ("errors", "system.network.errors", "{error}", f"Errors of the node's NIC on {way}."),
    )
)

_PRESSURE = tuple(
    _counter(
        f"node.pressure.{resource}.{stall}",
        f"system.{resource}.linux.pressure.total",
        "s",
        Source.NODE_PRESSURE,
        f"Time that {who} of the node stalled on {what} (PSI).",
        of=(("system.linux.pressure.stall_type", stall),),
    )
    for resource, what in (("cpu", "CPU"), ("memory", "memory"), ("io", "I/O"))
    for stall, who in (("some", "at least one task"), ("full", "all tasks"))
    if (resource, stall) != ("cpu", "full")  # the kernel does not define it for a whole machine
)

_PAGES = (
    _gauge(
        "node.hugepages.total",
        "system.memory.linux.hugepages.limit",
        "{page}",
        Source.NODE_PAGES,
        "Huge pages of one size that the node has reserved.",
        absent=absences.NO_HUGE_PAGES,
        device=_PAGE_SIZE,
    ),
    _gauge(
        "node.hugepages.free",
        "system.memory.linux.hugepages.usage",
        "{page}",
        Source.NODE_PAGES,
        "Huge pages of one size that nobody uses.",
        absent=absences.NO_HUGE_PAGES,
        device=_PAGE_SIZE,
        of=(("system.memory.linux.hugepages.state", "free"),),
    ),
    _gauge(
        "node.ksm.shared",
        "system.memory.linux.ksm.shared",
        "By",
        Source.NODE_PAGES,
        "Memory of the pages that the kernel keeps once for several processes (KSM).",
        absent=absences.NO_KSM,
    ),
    _gauge(
        "node.ksm.saved",
        "system.memory.linux.ksm.saved",
        "By",
        Source.NODE_PAGES,
        "Memory that the kernel saves because equal pages are kept once (KSM).",
        absent=absences.NO_KSM,
    ),
)

_LIBVIRT = (
    _gauge(
        "node.libvirt.connections",
        "libvirt.host.connection.count",
        "{connection}",
        Source.NODE_LIBVIRT,
        "Daemons of libvirt that the agent knows on the node.",
    ),
    _gauge(
        "node.libvirt.lost",
        "libvirt.host.connection.lost",
        "{connection}",
        Source.NODE_LIBVIRT,
        "Daemons of libvirt that the agent knows on the node and cannot reach now.",
    ),
    _gauge(
        "node.libvirt.stuck",
        "libvirt.host.domain.stuck",
        "{vm}",
        Source.NODE_LIBVIRT,
        "VMs whose QEMU monitor does not answer.",
    ),
)

_AGENT = (
    _counter("agent.cpu", "process.cpu.time", "s", Source.AGENT, "CPU time that the agent used."),
    _gauge("agent.memory", "process.memory.usage", "By", Source.AGENT, "Resident memory of the agent."),
    _gauge(
        "agent.scan",
        "virtwatch.agent.scan.duration",
        "s",
        Source.AGENT,
        "How long the longest look at what was due took in the last minute.",
    ),
    _gauge(
        "agent.lateness",
        "virtwatch.agent.sample.lateness",
        "s",
        Source.AGENT,
        "How late the latest sample of the last minute was.",
    ),
    _counter(
        "agent.calls",
        "virtwatch.agent.libvirt.calls",
        "{call}",
        Source.AGENT,
        "Calls to libvirt since the agent started.",
    ),
    _gauge(
        "agent.calls.open", "virtwatch.agent.libvirt.calls.open", "{call}", Source.AGENT, "Calls to libvirt in flight."
    ),
)

READINGS: tuple[Reading, ...] = (*_BASIC, *_DISKS, *_NETWORK, *_PRESSURE, *_PAGES, *_LIBVIRT, *_AGENT)
