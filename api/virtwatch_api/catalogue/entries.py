"""The shapes of a catalogue's entries: readings, events, and what a target and a range are."""

import math
from dataclasses import dataclass
from enum import StrEnum


class TargetKind(StrEnum):
    """Name what a policy watches."""

    VIRTUAL_MACHINE = "VirtualMachine"
    NODE = "Node"
    NETWORK = "Network"
    STORAGE_POOL = "StoragePool"
    NAMESPACE = "Namespace"  # no policy selects one: patterns over its VMs are about it


WATCHED: tuple[TargetKind, ...] = tuple(kind for kind in TargetKind if kind is not TargetKind.NAMESPACE)
"""What a policy may select."""


class Instrument(StrEnum):
    """Name the OTel instrument that carries a reading or a signal.

    A summary is an exponential histogram of all values since the last export: the peak in between survives.
    """

    COUNTER = "counter"
    GAUGE = "gauge"
    SUMMARY = "summary"


class Source(StrEnum):
    """Name where a reading comes from; what it costs per target is decided by this alone."""

    KERNEL = "kernel"
    STATE = "state"
    BALLOON = "balloon"
    BLOCK = "block"
    ERRORS = "disk-errors"
    JOB = "job"
    BLOCK_JOBS = "block-jobs"
    DIRTY_RATE = "dirty-rate"
    PRESSURE = "pressure"
    DELAYS = "delays"
    GUEST = "guest"
    NODE = "node"
    NODE_DISKS = "node-disks"
    NODE_NETWORK = "node-network"
    NODE_PRESSURE = "node-pressure"
    NODE_PAGES = "node-pages"
    NODE_LIBVIRT = "node-libvirt"
    AGENT = "agent"
    STORAGE = "storage"
    NETWORK = "network"

    @property
    def asks_monitor(self) -> bool:
        """Return whether the QEMU monitor is asked, which can hang with a stuck guest."""
        return self in _ASKING_MONITOR

    @property
    def cost(self) -> str:
        """Say what one look costs, for people."""
        return _COST[self]

    @property
    def absence(self) -> str:
        """Say why it gives nothing at all for a target, for people."""
        return _ABSENCE[self]


_ASKING_MONITOR = frozenset(
    (Source.BALLOON, Source.BLOCK, Source.ERRORS, Source.JOB, Source.BLOCK_JOBS, Source.DIRTY_RATE)
)
_COST = {
    Source.KERNEL: "/proc and /sys through kept descriptors: 10 to 30 µs of CPU per VM; cannot hang",
    Source.STATE: "what the agent knows of the VM: 10 µs of CPU per VM; asks nobody",
    Source.BALLOON: "a question to the QEMU monitor: 2 ms of node CPU per VM",
    Source.GUEST: (
        "once a minute for each VM at most: a request to the API server, which KubeVirt answers, or questions to the "
        "guest agent through libvirt, 4 ms of node CPU, of which the agent takes 0.7, and what the guest takes"
    ),
    Source.NODE: "psutil's look at /proc, and a sum over the VMs: 0.2 ms of CPU",
    Source.NODE_DISKS: "psutil's look at /proc/diskstats: 0.1 ms of CPU, with ten disks",
    Source.NODE_NETWORK: "the host's /proc/1/net/dev: 0.1 ms of CPU, 10 µs per interface",
    Source.NODE_PRESSURE: "three files of /proc/pressure: 0.1 ms of CPU",
    Source.NODE_PAGES: "files of /sys/kernel/mm: 0.1 ms of CPU",
    Source.NODE_LIBVIRT: "what the agent knows of its connections to libvirt: 10 µs of CPU",
    Source.AGENT: "what the agent counts about itself: 0.1 ms of CPU",
    Source.STORAGE: "a libvirt call for each pool, and one for each of its volumes every 30 s: 0.3 ms of CPU each",
    Source.NETWORK: "a libvirt call for each network, and /sys/class/net for its bridge and ports: 0.5 ms of CPU",
    Source.BLOCK: "a question to the QEMU monitor: 3 ms of node CPU per VM and disk",
    Source.ERRORS: "libvirt's word on the VM's state, the QEMU monitor's while an I/O error pauses it: 0.2 ms per VM",
    Source.JOB: "libvirt's word on the VM's job, the QEMU monitor's while it migrates: 0.2 ms per VM",
    Source.BLOCK_JOBS: (
        "libvirt's word on the VM's job and on each disk's: 0.5 ms of node CPU per VM with one disk, 0.2 ms per disk "
        "more; while one runs, the QEMU monitor's: 2 ms"
    ),
    Source.DIRTY_RATE: "libvirt's word on the VM's job, and a question to the QEMU monitor: 1 ms of node CPU per VM",
    Source.PRESSURE: "three files of the VM's control group: 0.1 ms of CPU per VM",
    Source.DELAYS: "a file of /proc for each thread of QEMU: 20 µs of CPU per thread",
}

_ABSENCE = {
    Source.KERNEL: "no QEMU process of it can be read on this host, and its libvirt gives no figures either",
    Source.STATE: "its libvirt does not answer",
    Source.BALLOON: "its libvirt gives no memory figures: the driver has none, or the VM's monitor does not answer",
    Source.GUEST: "nobody has asked its guest yet",
    Source.NODE: "the agent cannot read the node's /proc",
    Source.NODE_DISKS: "the agent sees no disk of the node in /proc/diskstats",
    Source.NODE_NETWORK: "the agent sees no NIC of the node in its /proc/1/net/dev",
    Source.NODE_PRESSURE: "the node's kernel has no /proc/pressure: it needs CONFIG_PSI, and psi=1 where that is off",
    Source.NODE_PAGES: "the node's /sys/kernel/mm cannot be read",
    Source.NODE_LIBVIRT: "the agent knows of no libvirt on the node",
    Source.AGENT: "the agent cannot read its own figures",
    Source.STORAGE: "its libvirt does not answer about storage pools, or the storage behind this one hangs",
    Source.NETWORK: "its libvirt does not answer about networks",
    Source.BLOCK: "its libvirt gives no disk figures: the driver has none, or the VM's monitor does not answer",
    Source.JOB: "its libvirt reports no jobs: the driver cannot, or the VM's monitor does not answer",
    Source.BLOCK_JOBS: "its libvirt reports no jobs: the driver cannot, or the VM's monitor does not answer",
    Source.DIRTY_RATE: "its libvirt reports no dirty rate: the driver cannot, or the VM's monitor does not answer",
    Source.ERRORS: "its libvirt reports no errors of disks: the driver cannot, or the VM's monitor does not answer",
    Source.PRESSURE: "only the kernel of its own host reports it: no QEMU process of it can be read here",
    Source.DELAYS: "only the kernel of its own host reports it: no QEMU process of it can be read here",
}


@dataclass(frozen=True, slots=True)
class Range:
    """Hold the least and the greatest value that a signal can reach, in its unit."""

    least: float = 0.0
    greatest: float = math.inf

    def holds(self, value: float) -> bool:
        """Return whether a value lies in the range."""
        return self.least <= value <= self.greatest

    @property
    def share(self) -> bool:
        """Return whether this is a share of 1, which people write in percent."""
        return (self.least, self.greatest) == (0.0, 1.0)


SHARE = Range(0.0, 1.0)
NOT_NEGATIVE = Range()


@dataclass(frozen=True, slots=True)
class Reading:
    """Describe one raw figure of a target: its key in samples, its OTel name, unit, attributes and source.

    `absent` says why a look at its source may not hold it, and what to do; empty where the source says enough.
    """

    key: str
    metric: str
    unit: str
    instrument: Instrument
    source: Source
    description: str
    attributes: tuple[tuple[str, str], ...] = ()
    device: str | None = None  # the attribute that names the device; None: one figure per target
    target: TargetKind = TargetKind.VIRTUAL_MACHINE
    absent: str = ""
    also_absent: tuple[str, ...] = ()  # other reasons, of which its source names the one that is true
    of_guest: bool = False  # the guest reports it, once its driver is loaded

    @property
    def namespace(self) -> str:
        """Return the namespace of its OTel name: `system`, or `libvirt` and what of it is measured."""
        words = self.metric.split(".")
        return ".".join(words[:2] if words[0] == "libvirt" else words[:1])


class EventSeverity(StrEnum):
    """Grade an event for logs; OTel severity numbers are 9, 13 and 17."""

    INFO = "Info"
    WARNING = "Warning"
    ERROR = "Error"


@dataclass(frozen=True, slots=True)
class Attribute:
    """Describe an attribute that `where` may match; without `values` it may have any value."""

    name: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventType:
    """Describe one type of event: its names in rules and in OTel, and which policies' rules see it (`targets`)."""

    name: str
    otel_name: str
    severity: EventSeverity
    description: str
    targets: tuple[TargetKind, ...]
    where: tuple[Attribute, ...] = ()
    implemented: bool = True

    @property
    def attributes(self) -> tuple[str, ...]:
        """Name the attributes that `where` may match."""
        return tuple(item.name for item in self.where)

    def values(self, attribute: str) -> tuple[str, ...]:
        """Return the values that an attribute can have; empty where it can have any."""
        return next((item.values for item in self.where if item.name == attribute), ())
