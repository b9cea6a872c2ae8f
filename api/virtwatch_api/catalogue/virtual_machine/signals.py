"""The signals of a VM: what each is, what a bad value means, and what to do about it."""

from virtwatch_api.catalogue.entries import SHARE, Instrument
from virtwatch_api.catalogue.formulas import Across, Rate, RateRatio, Signal, Value

_CPU = (
    Signal(
        "vm.cpu.utilization",
        "1",
        "CPU time used by all vCPUs as a share of what they could use; 1 is every vCPU busy.",
        Rate(("cpu.time",), across=Across.MEAN),
        range=SHARE,
        bad_value="The guest uses almost all the CPU that it has.",
        remedy="Find the busy process in the guest; give the VM more vCPUs if the load is wanted.",
        instrument=Instrument.SUMMARY,
    ),
    Signal(
        "vm.cpu.worst.utilization",
        "1",
        "CPU time used by the busiest vCPU as a share of one CPU.",
        Rate(("cpu.time",), across=Across.WORST),
        range=SHARE,
        bad_value="One vCPU is busy all the time, for example with a program that uses one thread.",
        remedy="More vCPUs do not help one thread; look in the guest for what keeps it busy.",
    ),
    Signal(
        "vm.cpu.delay.ratio",
        "1",
        "Share of time that vCPUs were ready and waited for a host CPU (CPU Ready, steal), mean of all vCPUs.",
        Rate(("cpu.delay",), across=Across.MEAN, less="cpu.throttled"),
        range=SHARE,
        bad_value="The host has too few free CPUs: other VMs or processes take them. What the VM's own limit takes is "
        "vm.cpu.throttled.ratio.",
        remedy="Move VMs to other nodes, lower the CPU overcommit, or give the VM dedicated CPUs.",
        instrument=Instrument.SUMMARY,
    ),
    Signal(
        "vm.cpu.worst.delay.ratio",
        "1",
        "Share of time that the worst vCPU was ready and waited for a host CPU.",
        Rate(("cpu.delay",), across=Across.WORST, less="cpu.throttled"),
        range=SHARE,
        bad_value="One vCPU waits for a host CPU, often because it is pinned to a busy one.",
        remedy="Check the VM's CPU pinning and what else runs on that host CPU.",
    ),
    Signal(
        "vm.cpu.throttled.ratio",
        "1",
        "Share of time that the VM's own CPU limit kept its vCPUs from running.",
        Rate(("cpu.throttled",), per="cpu.count"),
        range=SHARE,
        bad_value="The VM needs more CPU than its limit allows; the host is not the cause.",
        remedy="Raise the VM's CPU limit, or reduce the load in the guest.",
    ),
    Signal(
        "vm.cpu.iowait.ratio",
        "1",
        "Time per second that threads of the VM's QEMU waited for the host's disks; 1 is one that waits all the time.",
        Rate(("cpu.iowait",)),
        bad_value="The VM's disks are slower than the guest needs; with io_uring or aio=native QEMU waits elsewhere.",
        remedy="Look at the latency of the VM's disks, and at the storage behind them.",
        limits="A wait counts when it ends: while storage hangs, look at vm.io.stalled.",
    ),
    Signal(
        "vm.io.stalled",
        "s",
        "How long a thread of the VM's QEMU has waited in the host's kernel without being woken; 0 while all do.",
        Value("io.stalled"),
        bad_value="The storage under a disk of the VM hangs (a file on NFS, a local disk, a frozen file system).",
        remedy="Look at the host's kernel log and at the storage behind the VM's disks.",
        limits=(
            "It sees disks that QEMU reaches through the host's kernel. A disk that QEMU reaches over the network "
            "itself (NBD, RBD, iSCSI) keeps no thread waiting: for a VM that always writes, a rule on "
            "vm.disk.write.operations.rate below a small bound, for longer than its pauses, sees that hang."
        ),
    ),
)

_MEMORY = (
    Signal(
        "vm.memory.rss",
        "By",
        "Host memory that the VM's QEMU holds resident.",
        Value("memory.rss"),
        bad_value="The VM holds more of the host's memory than was planned for it.",
        remedy="Compare it with the VM's memory; what is above is QEMU's own overhead or a leak.",
    ),
    Signal(
        "vm.memory.balloon",
        "By",
        "Memory given to the guest now.",
        Value("memory.balloon"),
        bad_value="The balloon took memory from the guest.",
        remedy="Check who inflates the balloon, and whether the guest still has headroom.",
    ),
    Signal(
        "vm.memory.headroom.ratio",
        "1",
        "Memory that the guest can still use without swapping, as a share of what it has; cache counts as usable.",
        Value("memory.usable", per="memory.available"),
        range=SHARE,
        bad_value="The guest is about to swap, or to end processes for lack of memory.",
        remedy="Find the large process in the guest; give the VM more memory if the load is wanted.",
    ),
    Signal(
        "vm.memory.major_faults.rate",
        "{fault}/s",
        "Page faults per second that the guest served from disk.",
        Rate(("memory.major_faults",), clock="memory.guest.updated"),
        bad_value="The guest reads pages from disk that do not fit its memory.",
        remedy="Give the VM more memory, or reduce the load in the guest.",
    ),
    Signal(
        "vm.memory.swap.rate",
        "By/s",
        "Bytes per second that the guest swaps, in and out.",
        Rate(("memory.swap_in", "memory.swap_out"), clock="memory.guest.updated"),
        bad_value="The guest does not fit its memory and is slow.",
        remedy="Give the VM more memory, or reduce the load in the guest.",
    ),
    Signal(
        "vm.memory.guest.age",
        "s",
        "Age of the guest's own memory figures.",
        Value("memory.guest.age"),
        bad_value="The guest does not report its memory: rules on memory have no data.",
        remedy="Check the balloon driver in the guest, and the stats period of the VM's memballoon device.",
    ),
    Signal(
        "vm.memory.dirty.rate",
        "By/s",
        "Bytes per second that the guest dirties, while it migrates or somebody measures it.",
        Value("memory.dirty.rate"),
        bad_value="The guest writes memory faster than a live migration can move it.",
        remedy="Migrate the VM when it is less busy, or allow post-copy or auto-converge.",
        limits=(
            "virtwatch does not start a measurement: that needs a connection that may change VMs, and disturbs a live "
            "migration. It reads what QEMU finds while the VM migrates, and what others had it measure in the last "
            "90 s (virsh domdirtyrate-calc; KubeVirt, whose metrics are scraped)."
        ),
    ),
)


def _disk(direction: str) -> tuple[Signal, ...]:
    return (
        Signal(
            f"vm.disk.{direction}.operations.rate",
            "{operation}/s",
            f"Completed {direction} operations per second of a disk.",
            Rate((f"disk.{direction}.operations",)),
            bad_value="The disk is asked more often than planned, or less often because its storage is slow.",
            remedy="Compare it with the latency of the same disk before you blame the guest or the storage.",
        ),
        Signal(
            f"vm.disk.{direction}.latency",
            "s",
            f"Mean time that one {direction} operation of a disk took; no value while there are none.",
            RateRatio(f"disk.{direction}.time", f"disk.{direction}.operations"),
            bad_value="The storage is slow or overloaded.",
            remedy="Check the storage behind the disk, and which other VMs use it.",
            instrument=Instrument.SUMMARY,
            limits=(
                "An operation counts when it ends: while the storage hangs there is no value, and afterwards one long "
                "operation among many hardly raises the mean. vm.io.stalled sees it while it hangs."
            ),
        ),
    )


_DISK = (
    *(
        Signal(
            f"vm.disk.{direction}.rate",
            "By/s",
            f"Bytes per second {moved} a disk.",
            Rate((f"disk.{direction}.bytes",)),
            bad_value="The guest moves more data than planned, and may slow other VMs on the same storage.",
            remedy="Find the process in the guest; set an I/O limit for the disk if the load is not wanted.",
        )
        for direction, moved in (("read", "read from"), ("write", "written to"))
    ),
    *_disk("read"),
    *_disk("write"),
    *_disk("flush"),
    Signal(
        "vm.disk.allocation.ratio",
        "1",
        "What a disk occupies of what it may occupy: how full a thin disk, or the volume under it, is.",
        Value("disk.allocation", per="disk.room"),
        range=SHARE,
        bad_value="A thin disk is about to be full; the VM then pauses on an I/O error.",
        remedy="Extend the volume, or free space in the guest and trim it.",
        limits=(
            "A raw volume has no value: it cannot fill. For a thin disk on a volume QEMU counts from its start; the "
            "agent remembers what it saw before. After a start that it did not see, the value may be too low until the "
            "disk grows again."
        ),
    ),
)


def _network(direction: str) -> tuple[Signal, ...]:
    lost = "The guest or its bridge does not keep up, or the link is faulty."
    look = "Check the guest's network driver and queues, and the host's bridge and link."
    much = "The guest moves more data than planned."
    find = "Find the process in the guest; set a bandwidth limit for the NIC if the load is not wanted."
    return tuple(
        Signal(
            f"vm.network.{direction}.{name}",
            unit,
            f"{what} per second that a NIC {direction}s.",
            Rate((key,)),
            bad_value=bad_value,
            remedy=remedy,
        )
        for name, unit, what, key, bad_value, remedy in (
            ("rate", "By/s", "Bytes", f"network.{direction}.bytes", much, find),
            ("packets.rate", "{packet}/s", "Packets", f"network.{direction}.packets", much, find),
            ("drops.rate", "{packet}/s", "Dropped packets", f"network.{direction}.drops", lost, look),
            ("errors.rate", "{error}/s", "Errors", f"network.{direction}.errors", lost, look),
        )
    )


_LOAD_LIMITS = (
    "Up to a minute old. On plain libvirt alone, where VIRTWATCH_GUEST_AGENT=on lets virtwatch ask, by libvirt 11.2 "
    "and qemu-guest-agent 10.0 or later. On Linux, tasks that wait for a disk count too."
)


_OTHERS = (
    *(
        Signal(
            f"vm.pressure.{resource}.ratio",
            "1",
            f"Share of time that some task of the VM's control group stalled on {what} (PSI).",
            Rate((f"pressure.{resource}",)),
            range=SHARE,
            bad_value=f"The VM's QEMU waits for {what} of the host.",
            remedy=remedy,
        )
        for resource, what, remedy in (
            ("cpu", "CPU", "Compare it with the VM's run delay and its own CPU limit."),
            ("memory", "memory", "Check the VM's memory limit, and the memory that is free on the node."),
            ("io", "I/O", "Look at the latency of the VM's disks, and at the storage behind them."),
        )
    ),
    Signal(
        "vm.filesystem.utilization",
        "1",
        "Used share of a guest's file system, by where it is mounted (guest agent).",
        Value("filesystem.used", per="filesystem.size"),
        range=SHARE,
        bad_value="A file system in the guest is almost full.",
        remedy="Free space in the guest, or extend the disk and the file system.",
        limits=(
            "KubeVirt asks the guest agent every 5 minutes: the figure is up to 6 minutes old. On plain libvirt it is "
            "up to a minute old, where VIRTWATCH_GUEST_AGENT=on lets virtwatch ask. File systems that are always full "
            "(ISO 9660, UDF, squashfs) or in memory are left out, and those beyond 32 of a guest. No guest agent "
            "reports that a file system is read-only or has errors."
        ),
    ),
    Signal(
        "vm.guest.load.ratio",
        "1",
        "Tasks that run or wait in the guest per vCPU, mean of a minute (guest agent).",
        Value("guest.load.1m", per="guest.cpus"),
        bad_value="The guest has more to do than its vCPUs can.",
        remedy="Find the busy processes in the guest; give the VM more vCPUs if the load is wanted.",
        limits=_LOAD_LIMITS,
    ),
    *(
        Signal(
            f"vm.guest.load.{minutes}m",
            "1",
            f"Tasks that run or wait in the guest, mean of {mean} (guest agent).",
            Value(f"guest.load.{minutes}m"),
            bad_value="The guest has more to do than its vCPUs can, if it is above their number for long.",
            remedy="Find the busy processes in the guest, or what they wait for; vm.guest.load.ratio is per vCPU.",
            limits=_LOAD_LIMITS,
        )
        for minutes, mean in ((1, "a minute"), (5, "5 minutes"), (15, "15 minutes"))
    ),
    Signal(
        "vm.migration.remaining",
        "By",
        "Bytes that a live migration has still to move; 0 without one.",
        Value("migration.remaining"),
        bad_value="The migration makes no progress: the guest dirties memory faster than it moves.",
        remedy="Check the network between the nodes, or allow post-copy or auto-converge.",
    ),
    Signal(
        "vm.migration.downtime",
        "s",
        "How long a live migration would stop the guest if it switched now; no value without one.",
        Value("migration.downtime"),
        bad_value="What is left cannot be moved as fast as the guest may be stopped, so the migration continues.",
        remedy="Check the network between the nodes, allow a longer downtime, or post-copy or auto-converge.",
    ),
    Signal(
        "vm.paused.time",
        "s",
        "For how long the VM has been paused, as far as the agent has seen it; 0 while it is not.",
        Value("state.paused"),
        bad_value="Somebody paused the VM and did not resume it, or an I/O error did.",
        remedy="Look at the reason of its state (virsh domstate --reason); resume it once the cause is gone.",
    ),
    Signal(
        "vm.disk.error",
        "1",
        "Whether a disk has an I/O error for which the VM is paused now: 0 none, 1 some, 2 no room on its storage.",
        Value("disk.error"),
        bad_value="QEMU could not read or write, and has paused the VM for it.",
        remedy="Free or add room on the storage, or repair it; then resume the VM.",
    ),
    Signal(
        "vm.telemetry.age",
        "s",
        "How long ago the oldest of the VM's newest samples was taken, of all sources that are asked.",
        Value("telemetry.age"),
        bad_value="virtwatch cannot see the VM, so its rules are not judged.",
        remedy="Check whether the VM's QEMU monitor answers, and the agent's log on its node.",
    ),
)

SIGNALS: tuple[Signal, ...] = (*_CPU, *_MEMORY, *_DISK, *_network("receive"), *_network("transmit"), *_OTHERS)
