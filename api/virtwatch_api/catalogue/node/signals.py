"""The signals of a node."""

from virtwatch_api.catalogue.entries import NOT_NEGATIVE, SHARE, Range, TargetKind
from virtwatch_api.catalogue.formulas import Signal


def _planned(name: str, unit: str, description: str, range_: Range = NOT_NEGATIVE) -> Signal:
    return Signal(name, unit, description, None, TargetKind.NODE, range_)


SIGNALS: tuple[Signal, ...] = (
    _planned("node.cpu.utilization", "1", "Busy share of the node's CPUs.", SHARE),
    _planned("node.cpu.allocation.ratio", "1", "vCPUs of running VMs per CPU of the node."),
    _planned("node.memory.available.ratio", "1", "Available share of the node's memory.", SHARE),
    _planned("node.memory.allocation.ratio", "1", "Memory given to VMs as a share of the node's memory."),
    _planned(
        "node.pressure.cpu.ratio", "1", "Share of time that some task of the node was stalled on CPU (PSI).", SHARE
    ),
    _planned(
        "node.pressure.memory.ratio",
        "1",
        "Share of time that some task of the node was stalled on memory (PSI).",
        SHARE,
    ),
    _planned(
        "node.pressure.io.ratio", "1", "Share of time that some task of the node was stalled on I/O (PSI).", SHARE
    ),
    _planned("node.swap.rate", "By/s", "Bytes per second that the node swaps."),
    _planned("node.hugepages.free.ratio", "1", "Free share of the node's huge pages.", SHARE),
)
