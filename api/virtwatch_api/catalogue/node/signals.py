"""The signals of a node: what each is, what a bad value means, and what to do about it."""

from virtwatch_api.catalogue.entries import NOT_NEGATIVE, SHARE, Range, TargetKind
from virtwatch_api.catalogue.formulas import Formula, Rate, RateRatio, Signal, Value


def _signal(
    name: str, unit: str, description: str, formula: Formula, range_: Range = NOT_NEGATIVE, *, bad: str, do: str
) -> Signal:
    return Signal(name, unit, description, formula, TargetKind.NODE, range_, bad, do)


def _share(name: str, description: str, formula: Formula, *, bad: str, do: str) -> Signal:
    return _signal(name, "1", description, formula, SHARE, bad=bad, do=do)


_MOVE = "Move VMs to other nodes; find what else uses memory there."

_CPU = (
    _share(
        "node.cpu.utilization",
        "Busy share of the node's CPUs.",
        Rate(("node.cpu.busy",), per="node.cpu.count"),
        bad="The node has no CPU left: its VMs wait for each other.",
        do="Find the VM that uses most CPU; move VMs to other nodes.",
    ),
    _share(
        "node.cpu.iowait.ratio",
        "Share of time that the node's CPUs were idle while a task waited for a disk.",
        Rate(("node.cpu.iowait",), per="node.cpu.count"),
        bad="The node's disks are too slow for what runs there.",
        do="Look at the latency and the utilization of the node's disks, and which VM uses them most.",
    ),
    _share(
        "node.cpu.steal.ratio",
        "Share of time that the hypervisor below took from the node's CPUs, where the node is a VM itself.",
        Rate(("node.cpu.steal",), per="node.cpu.count"),
        bad="The node's own host is overcommitted, so that every VM on the node is slow.",
        do="Move the node to a host with free CPUs, or give it dedicated ones.",
    ),
    _signal(
        "node.load.ratio",
        "1",
        "Tasks that run, wait for a CPU or wait for a disk, per CPU of the node, mean of a minute.",
        Value("node.load", per="node.cpu.count"),
        bad="More tasks want to run than the node has CPUs, or they wait for its disks.",
        do="Compare the node's CPU utilization with its I/O wait: they say which of both it is.",
    ),
    _signal(
        "node.cpu.allocation.ratio",
        "1",
        "vCPUs of running VMs per CPU of the node.",
        Value("node.vcpus", per="node.cpu.count"),
        bad="More vCPUs are promised than planned; when all are busy they wait for each other.",
        do="Move VMs to other nodes, or lower the CPU overcommit.",
    ),
)

_MEMORY = (
    _share(
        "node.memory.available.ratio",
        "Available share of the node's memory.",
        Value("node.memory.available", per="node.memory.total"),
        bad="The node is about to swap, or to end processes for lack of memory, QEMU among them.",
        do=_MOVE,
    ),
    _signal(
        "node.memory.allocation.ratio",
        "1",
        "Memory given to VMs as a share of the node's memory.",
        Value("node.vm.memory", per="node.memory.total"),
        bad="More memory is promised than planned; when guests use it the node runs out.",
        do="Move VMs to other nodes, or lower the memory overcommit.",
    ),
    _share(
        "node.swap.utilization",
        "Used share of the node's swap space.",
        Value("node.swap.used", per="node.swap.total"),
        bad="The node has moved memory to disk, and soon cannot any more.",
        do=_MOVE,
    ),
    _signal(
        "node.swap.rate",
        "By/s",
        "Bytes per second that the node swaps, in and out.",
        Rate(("node.swap.in", "node.swap.out")),
        bad="The node has too little memory, and its VMs are slow without a cause in the guest.",
        do=_MOVE,
    ),
    _share(
        "node.hugepages.free.ratio",
        "Free share of the node's huge pages of one size.",
        Value("node.hugepages.free", per="node.hugepages.total"),
        bad="A VM with huge pages soon cannot start on this node.",
        do="Reserve more huge pages, or move VMs to other nodes.",
    ),
    _signal(
        "node.ksm.saved",
        "By",
        "Memory that the node saves because equal pages of its VMs are kept once (KSM).",
        Value("node.ksm.saved"),
        bad="The node holds more VMs than its memory does: when their pages begin to differ it runs out.",
        do="Compare it with the available memory; move VMs to other nodes while there is time.",
    ),
)


def _disk(way: str, past: str) -> tuple[Signal, ...]:
    return (
        _signal(
            f"node.disk.{way}.rate",
            "By/s",
            f"Bytes per second {past} a disk of the node.",
            Rate((f"node.disk.{way}.bytes",)),
            bad="The disk moves more data than planned, or less because it is faulty.",
            do="Find the VM with the most disk throughput; compare it with the latency of the same disk.",
        ),
        _signal(
            f"node.disk.{way}.operations.rate",
            "{operation}/s",
            f"Completed {way} operations per second of a disk of the node.",
            Rate((f"node.disk.{way}.operations",)),
            bad="The disk is asked more often than planned.",
            do="Find the VM with the most operations; set an I/O limit for its disk if they are not wanted.",
        ),
        _signal(
            f"node.disk.{way}.latency",
            "s",
            f"Mean time that one {way} operation of a disk of the node took; no value while there are none.",
            RateRatio(f"node.disk.{way}.time", f"node.disk.{way}.operations"),
            bad="The disk is slow or overloaded, and so are all VMs that use it.",
            do="Check the disk's health and its controller; move VMs with much I/O to other storage.",
        ),
    )


_DISKS = (
    *_disk("read", "read from"),
    *_disk("write", "written to"),
    _share(
        "node.disk.utilization",
        "Share of time that a disk of the node had at least one operation to do.",
        Rate(("node.disk.busy",)),
        bad="The disk is never idle; one that does many operations at once may still have room.",
        do="Look at the latency of the same disk: where it grows, move VMs with much I/O to other storage.",
    ),
)


def _network(way: str) -> tuple[Signal, ...]:
    lost = "The link is faulty or overloaded, or the node does not keep up."
    look = "Check the NIC's driver, queues and cable, its switch port, and the node's CPU."
    return tuple(
        _signal(
            f"node.network.{way}.{name}",
            unit,
            f"{what} per second that a NIC of the node {way}s.",
            Rate((f"node.network.{way}.{key}",)),
            bad=bad,
            do=do,
        )
        for name, unit, what, key, bad, do in (
            (
                "rate",
                "By/s",
                "Bytes",
                "bytes",
                "The node moves more data than planned; its VMs share the NIC.",
                "Find the VM with the most traffic; set a bandwidth limit for its NIC if it is not wanted.",
            ),
            ("drops.rate", "{packet}/s", "Dropped packets", "drops", lost, look),
            ("errors.rate", "{error}/s", "Errors", "errors", lost, look),
        )
    )


_PRESSURE = tuple(
    _share(
        f"node.pressure.{resource}.{'' if stall == 'some' else 'full.'}ratio",
        f"Share of time that {who} of the node stalled on {what} (PSI).",
        Rate((f"node.pressure.{resource}.{stall}",)),
        bad=f"The node has too little {what} for what runs there"
        + ("." if stall == "some" else ": nothing runs meanwhile."),
        do=do,
    )
    for resource, what, do in (
        ("cpu", "CPU", "Find the VMs with the most CPU use and run delay; move some of them."),
        ("memory", "memory", "Find what uses memory on the node; move VMs to other nodes."),
        ("io", "I/O", "Look at the storage that the node's VMs share, and which of them uses it most."),
    )
    for stall, who in (("some", "some task"), ("full", "every task"))
    if (resource, stall) != ("cpu", "full")
)

_LIBVIRT = (
    _signal(
        "node.libvirt.connections",
        "{connection}",
        "Daemons of libvirt that the agent knows on the node: the host's own, and one for each VM of KubeVirt.",
        Value("node.libvirt.connections"),
        bad="There are more or fewer hypervisors on the node than planned.",
        do="Compare it with the VMs that should run there, and with the agent's log.",
    ),
    _signal(
        "node.libvirt.lost",
        "{connection}",
        "Daemons of libvirt that the agent cannot reach now.",
        Value("node.libvirt.lost"),
        bad="virtwatch cannot see the VMs of these daemons.",
        do="Check whether the daemons run and answer; the condition Collecting names them.",
    ),
    _signal(
        "node.libvirt.stuck",
        "{vm}",
        "VMs whose QEMU monitor does not answer.",
        Value("node.libvirt.stuck"),
        bad="These QEMUs hang, often on their storage.",
        do="Check the storage behind their disks; the condition Collecting names the VMs.",
    ),
)

_AGENT = (
    _signal(
        "node.agent.cpu.ratio",
        "1",
        "CPU time that the agent uses per second: 1 is one CPU.",
        Rate(("agent.cpu",)),
        bad="virtwatch costs the node more than planned.",
        do="Lengthen the intervals of the policies that select VMs there, or watch fewer VMs.",
    ),
    _signal(
        "node.agent.memory.rss",
        "By",
        "Resident memory of the agent.",
        Value("agent.memory"),
        bad="virtwatch needs more memory than planned, and may be ended by its limit.",
        do="Shorten the windows of rules, or raise the memory limit of the agent's Pod.",
    ),
    _signal(
        "node.agent.scan.time",
        "s",
        "How long the longest look at what was due took in the last minute.",
        Value("agent.scan"),
        bad="The agent does not keep up with what rules ask of it.",
        do="Lengthen the intervals of the policies that select VMs there, or watch fewer VMs.",
    ),
    _signal(
        "node.agent.lateness",
        "s",
        "How late the latest sample of the last minute was.",
        Value("agent.lateness"),
        bad="Samples come too late, so that alerts do.",
        do="Look at the node's CPU pressure and at the agent's CPU limit.",
    ),
    _signal(
        "node.agent.calls.rate",
        "{call}/s",
        "Calls to libvirt per second that the agent makes.",
        Rate(("agent.calls",)),
        bad="Rules ask much that only QEMU can tell, which costs CPU of the node.",
        do="Lengthen the intervals of rules on disks and guest memory.",
    ),
)

SIGNALS: tuple[Signal, ...] = (
    *_CPU,
    *_MEMORY,
    *_DISKS,
    *_network("receive"),
    *_network("transmit"),
    *_PRESSURE,
    *_LIBVIRT,
    *_AGENT,
)
