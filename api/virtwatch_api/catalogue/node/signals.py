"""The signals of a node."""

from virtwatch_api.catalogue.entries import NOT_NEGATIVE, SHARE, Range, TargetKind
from virtwatch_api.catalogue.formulas import Formula, Rate, Signal, Value


def _planned(
    name: str, unit: str, description: str, range_: Range = NOT_NEGATIVE, *, bad_value: str, remedy: str
) -> Signal:
    return Signal(name, unit, description, None, TargetKind.NODE, range_, bad_value, remedy)


def _signal(
    name: str, description: str, formula: Formula, range_: Range = NOT_NEGATIVE, *, bad_value: str, remedy: str
) -> Signal:
    return Signal(name, "1", description, formula, TargetKind.NODE, range_, bad_value, remedy)


SIGNALS: tuple[Signal, ...] = (
    _signal(
        "node.cpu.utilization",
        "Busy share of the node's CPUs.",
        Rate(("node.cpu.busy",), per="node.cpu.count"),
        SHARE,
        bad_value="The node has no CPU left: its VMs wait for each other.",
        remedy="Find the VM that uses most CPU; move VMs to other nodes.",
    ),
    _signal(
        "node.cpu.allocation.ratio",
        "vCPUs of running VMs per CPU of the node.",
        Value("node.vcpus", per="node.cpu.count"),
        bad_value="More vCPUs are promised than planned; when all are busy they wait for each other.",
        remedy="Move VMs to other nodes, or lower the CPU overcommit.",
    ),
    _signal(
        "node.memory.available.ratio",
        "Available share of the node's memory.",
        Value("node.memory.available", per="node.memory.total"),
        SHARE,
        bad_value="The node is about to swap, or to end processes for lack of memory, QEMU among them.",
        remedy="Move VMs to other nodes; find what else uses memory there.",
    ),
    _signal(
        "node.memory.allocation.ratio",
        "Memory given to VMs as a share of the node's memory.",
        Value("node.vm.memory", per="node.memory.total"),
        bad_value="More memory is promised than planned; when guests use it the node runs out.",
        remedy="Move VMs to other nodes, or lower the memory overcommit.",
    ),
    *(
        _planned(
            f"node.pressure.{resource}.ratio",
            "1",
            f"Share of time that some task of the node was stalled on {what} (PSI).",
            SHARE,
            bad_value=f"The node has too little {what} for what runs there.",
            remedy=remedy,
        )
        for resource, what, remedy in (
            ("cpu", "CPU", "Find the VMs with the most CPU use and run delay; move some of them."),
            ("memory", "memory", "Find what uses memory on the node; move VMs to other nodes."),
            ("io", "I/O", "Look at the storage that the node's VMs share, and which of them uses it most."),
        )
    ),
    _planned(
        "node.swap.rate",
        "By/s",
        "Bytes per second that the node swaps.",
        bad_value="The node has too little memory, and its VMs are slow without a cause in the guest.",
        remedy="Move VMs to other nodes; find what else uses memory there.",
    ),
    _planned(
        "node.hugepages.free.ratio",
        "1",
        "Free share of the node's huge pages.",
        SHARE,
        bad_value="A VM with huge pages soon cannot start on this node.",
        remedy="Reserve more huge pages, or move VMs to other nodes.",
    ),
)
