# A signal is what a rule judges. Its formula says how it follows from readings, so a new signal is one entry here and,
# where the reading is new too, one in a source.
from dataclasses import dataclass
from enum import StrEnum

from virtwatch_api.catalogue.readings import READING, Source


class TargetKind(StrEnum):
    """Name what a policy watches."""

    VIRTUAL_MACHINE = "VirtualMachine"
    NODE = "Node"
    NETWORK = "Network"
    STORAGE_POOL = "StoragePool"


class Across(StrEnum):
    """Say how devices become one value: each its own, their sum, or the worst of them."""

    EACH = "each"
    SUM = "sum"
    WORST = "worst"


@dataclass(frozen=True, slots=True)
class Rate:
    """Divide the growth of counters (summed) by the seconds it took; `per` divides by a gauge as well."""

    readings: tuple[str, ...]
    per: str | None = None
    across: Across = Across.EACH


@dataclass(frozen=True, slots=True)
class RateRatio:
    """Divide the growth of one counter by the growth of another: time per operation, never rate of time."""

    numerator: str
    denominator: str
    across: Across = Across.EACH


@dataclass(frozen=True, slots=True)
class Value:
    """Take a gauge as it is; `per` divides it by another gauge."""

    reading: str
    per: str | None = None
    across: Across = Across.EACH


Formula = Rate | RateRatio | Value


@dataclass(frozen=True, slots=True)
class Signal:
    """Describe one signal: its name, fixed unit, what it belongs to, and its formula; no formula, no engine yet."""

    name: str
    unit: str
    description: str
    formula: Formula | None
    target: TargetKind = TargetKind.VIRTUAL_MACHINE

    @property
    def readings(self) -> frozenset[str]:
        """Name the readings that the formula needs."""
        match self.formula:
            case Rate(readings, per, _):
                return frozenset(readings) | ({per} if per else frozenset())
            case RateRatio(numerator, denominator, _):
                return frozenset((numerator, denominator))
            case Value(reading, per, _):
                return frozenset((reading,)) | ({per} if per else frozenset())
            case None:
                return frozenset()

    @property
    def sources(self) -> frozenset[Source]:
        """Name the sources that must be asked for this signal."""
        return frozenset(READING[key].source for key in self.readings)

    @property
    def per_device(self) -> bool:
        """Tell whether each device has its own value, and so its own alert."""
        return (
            self.formula is not None
            and self.formula.across is Across.EACH
            and any(READING[key].device for key in self.readings)
        )


def _network(direction: str) -> tuple[Signal, ...]:
    return tuple(
        Signal(f"vm.network.{direction}.{name}", unit, f"{what} per second that a NIC {direction}s.", Rate((key,)))
        for name, unit, what, key in (
            ("rate", "By/s", "Bytes", f"network.{direction}.bytes"),
            ("packets.rate", "{packet}/s", "Packets", f"network.{direction}.packets"),
            ("drops.rate", "{packet}/s", "Dropped packets", f"network.{direction}.drops"),
            ("errors.rate", "{error}/s", "Errors", f"network.{direction}.errors"),
        )
    )


def _disk(direction: str) -> tuple[Signal, ...]:
    return (
        Signal(
            f"vm.disk.{direction}.operations.rate",
            "{operation}/s",
            f"Completed {direction} operations per second of a disk.",
            Rate((f"disk.{direction}.operations",)),
        ),
        Signal(
            f"vm.disk.{direction}.latency",
            "s",
            f"Mean time that one {direction} operation of a disk took; no value while there are none.",
            RateRatio(f"disk.{direction}.time", f"disk.{direction}.operations"),
        ),
    )


def _planned(target: TargetKind, *entries: tuple[str, str, str]) -> tuple[Signal, ...]:
    return tuple(Signal(name, unit, description, None, target) for name, unit, description in entries)


SIGNALS: tuple[Signal, ...] = (
    Signal(
        "vm.cpu.utilization",
        "1",
        "CPU time used by all vCPUs as a share of what they could use; 1 is every vCPU busy.",
        Rate(("cpu.time",), per="cpu.count", across=Across.SUM),
    ),
    Signal(
        "vm.cpu.worst.utilization",
        "1",
        "CPU time used by the busiest vCPU as a share of one CPU.",
        Rate(("cpu.time",), across=Across.WORST),
    ),
    Signal(
        "vm.cpu.delay.ratio",
        "1",
        "Share of time that vCPUs were ready and waited for a host CPU (CPU Ready, steal), mean of all vCPUs.",
        Rate(("cpu.delay",), per="cpu.count", across=Across.SUM),
    ),
    Signal(
        "vm.cpu.worst.delay.ratio",
        "1",
        "Share of time that the worst vCPU was ready and waited for a host CPU.",
        Rate(("cpu.delay",), across=Across.WORST),
    ),
    Signal("vm.memory.rss", "By", "Host memory that the VM's QEMU holds resident.", Value("memory.rss")),
    Signal("vm.memory.balloon", "By", "Memory given to the guest now.", Value("memory.balloon")),
    Signal(
        "vm.memory.headroom.ratio",
        "1",
        "Memory that the guest can still use without swapping, as a share of what it has; cache counts as usable.",
        Value("memory.usable", per="memory.available"),
    ),
    Signal(
        "vm.memory.major_faults.rate",
        "{fault}/s",
        "Page faults per second that the guest served from disk.",
        Rate(("memory.major_faults",)),
    ),
    Signal(
        "vm.memory.swap.rate",
        "By/s",
        "Bytes per second that the guest swaps, in and out.",
        Rate(("memory.swap_in", "memory.swap_out")),
    ),
    Signal("vm.memory.guest.age", "s", "Age of the guest's own memory figures.", Value("memory.guest.age")),
    Signal("vm.disk.read.rate", "By/s", "Bytes per second read from a disk.", Rate(("disk.read.bytes",))),
    Signal("vm.disk.write.rate", "By/s", "Bytes per second written to a disk.", Rate(("disk.write.bytes",))),
    *_disk("read"),
    *_disk("write"),
    *_disk("flush"),
    Signal(
        "vm.disk.allocation.ratio",
        "1",
        "Highest written offset of a disk as a share of its size: how full a thin disk is.",
        Value("disk.allocation", per="disk.capacity"),
    ),
    *_network("receive"),
    *_network("transmit"),
    *_planned(
        TargetKind.VIRTUAL_MACHINE,
        ("vm.cpu.iowait.ratio", "1", "Share of time that vCPUs waited for I/O."),
        ("vm.memory.dirty.rate", "By/s", "Bytes per second that the guest dirties."),
        ("vm.pressure.cpu.ratio", "1", "Share of time that some task of the VM was stalled on CPU (PSI)."),
        ("vm.pressure.memory.ratio", "1", "Share of time that some task of the VM was stalled on memory (PSI)."),
        ("vm.pressure.io.ratio", "1", "Share of time that some task of the VM was stalled on I/O (PSI)."),
        ("vm.filesystem.utilization", "1", "Used share of a guest's file system (guest agent)."),
        ("vm.migration.remaining", "By", "Bytes that a running migration has still to move."),
        ("vm.telemetry.age", "s", "Age of the last complete sample of the VM."),
    ),
    *_planned(
        TargetKind.NODE,
        ("node.cpu.utilization", "1", "Busy share of the node's CPUs."),
        ("node.cpu.allocation.ratio", "1", "vCPUs of running VMs per CPU of the node."),
        ("node.memory.available.ratio", "1", "Available share of the node's memory."),
        ("node.memory.allocation.ratio", "1", "Memory given to VMs as a share of the node's memory."),
        ("node.pressure.cpu.ratio", "1", "Share of time that some task of the node was stalled on CPU (PSI)."),
        ("node.pressure.memory.ratio", "1", "Share of time that some task of the node was stalled on memory (PSI)."),
        ("node.pressure.io.ratio", "1", "Share of time that some task of the node was stalled on I/O (PSI)."),
        ("node.swap.rate", "By/s", "Bytes per second that the node swaps."),
        ("node.hugepages.free.ratio", "1", "Free share of the node's huge pages."),
    ),
    *_planned(
        TargetKind.NETWORK,
        ("network.throughput.rate", "By/s", "Bytes per second over a virtual network's bridge."),
        ("network.drops.rate", "{packet}/s", "Packets per second that a virtual network's bridge drops."),
        ("network.leases", "{lease}", "DHCP leases of a virtual network."),
    ),
    *_planned(
        TargetKind.STORAGE_POOL,
        ("pool.utilization", "1", "Used share of a storage pool."),
        ("pool.overprovisioning.ratio", "1", "Size promised to volumes per size of the pool."),
    ),
)

SIGNAL = {signal.name: signal for signal in SIGNALS}
