"""The readings of a VM: what the kernel and QEMU count for it."""

from virtwatch_api.catalogue import absences
from virtwatch_api.catalogue.entries import Instrument, Reading, Source


def _counter(key: str, metric: str, unit: str, source: Source, description: str, **more: object) -> Reading:
    return Reading(key, metric, unit, Instrument.COUNTER, source, description, **more)  # type: ignore[arg-type]


def _gauge(key: str, metric: str, unit: str, source: Source, description: str, **more: object) -> Reading:
    return Reading(key, metric, unit, Instrument.GAUGE, source, description, **more)  # type: ignore[arg-type]


_NO_THREADS = "only the kernel of its own host reports it, for a QEMU whose vCPU threads can be told apart"
_NO_PROCESS = "only the kernel of its own host reports it: no QEMU process of it can be read here"
_NO_NIC = (
    "no NIC of it has counters: it has none, or none with an interface on its host (user, vhost-user, passthrough)"
)
_NO_DISK = "no disk of it has such figures: it has none with a medium, or its libvirt driver does not give them"
_NO_ROOM = "what its disks occupy is not known: it has none with a medium, or wrote to none since it started"
_NO_MIGRATION = "no live migration takes it away now, or QEMU cannot tell yet"
_NO_REPORT = "the guest reports no memory: <memballoon> needs <stats period='10'/>, the guest the virtio_balloon driver"

_VCPU = "libvirt.vcpu.id"
_DISK = "system.device"
_NIC = "network.interface.name"


def _direction(kind: str, value: str) -> tuple[tuple[str, str], ...]:
    return ((f"{kind}.io.direction", value),)


READINGS: tuple[Reading, ...] = (
    _counter(
        "cpu.time",
        "libvirt.domain.vcpu.time",
        "s",
        Source.KERNEL,
        "CPU time that a vCPU used.",
        device=_VCPU,
        absent=_NO_THREADS,
    ),
    _counter(
        "cpu.delay",
        "libvirt.domain.vcpu.delay.time",
        "s",
        Source.KERNEL,
        "Time that a vCPU was ready and did not run: it waited for a host CPU, or its own limit held it back.",
        device=_VCPU,
        absent=_NO_THREADS,
    ),
    _counter(
        "cpu.throttled",
        "libvirt.domain.cpu.throttled.time",
        "s",
        Source.KERNEL,
        "Time that the VM's own CPU limits (control groups) kept it from running, since it was first seen.",
        absent=_NO_PROCESS,
    ),
    _gauge("cpu.count", "libvirt.domain.vcpu.count", "{cpu}", Source.KERNEL, "vCPUs of the VM.", absent=_NO_THREADS),
    _gauge(
        "memory.rss",
        "libvirt.domain.memory.rss",
        "By",
        Source.KERNEL,
        "Host memory that QEMU holds resident.",
        absent=_NO_PROCESS,
    ),
    _counter(
        "cpu.iowait",
        "libvirt.domain.io.wait.time",
        "s",
        Source.DELAYS,
        "Time that QEMU's threads waited for the host's disks, summed over them, since the VM was first seen.",
        absent=absences.NO_DELAYS,
    ),
    _gauge(
        "io.stalled",
        "libvirt.domain.io.stalled.time",
        "s",
        Source.DELAYS,
        "How long a thread of QEMU has waited in the host's kernel without being woken; of several, the longest.",
        absent=_NO_PROCESS,
    ),
    *(
        _counter(
            f"pressure.{resource}",
            f"libvirt.domain.{resource}.pressure.time",
            "s",
            Source.PRESSURE,
            f"Time that some task of the VM's control group stalled on {what} (PSI).",
            absent=absences.NO_GROUP_PRESSURE,
            also_absent=(absences.NO_GROUPS, absences.NO_OWN_GROUP, absences.UNSEEN_GROUP),
        )
        for resource, what in (("cpu", "CPU"), ("memory", "memory"), ("io", "I/O"))
    ),
    _gauge(
        "state",
        "libvirt.domain.status",
        "1",
        Source.STATE,
        "Is 1 for the state that the VM is in, with what led to it.",
        device="libvirt.domain.state",
    ),
    _gauge(
        "state.paused",
        "libvirt.domain.paused.time",
        "s",
        Source.STATE,
        "For how long the VM has been paused, as far as the agent has seen it; 0 while it is not.",
    ),
    _gauge(
        "telemetry.age",
        "libvirt.domain.telemetry.age",
        "s",
        Source.STATE,
        "How long ago the oldest of the VM's newest samples was taken.",
    ),
    _gauge(
        "migration.remaining",
        "libvirt.domain.job.remaining",
        "By",
        Source.JOB,
        "Bytes that a live migration has still to move; 0 without one.",
    ),
    *(
        _gauge(
            key,
            metric,
            "By",
            Source.GUEST,
            description,
            device="system.filesystem.mountpoint",
            absent=absences.NO_FILE_SYSTEMS,
            also_absent=(*absences.ASKING_GUEST, absences.GUESTS_FORBIDDEN, absences.NO_AGENT_FILE_SYSTEMS),
            of_guest=True,
        )
        for key, metric, description in (
            ("filesystem.used", "libvirt.domain.filesystem.usage", "Used bytes of a guest's file system."),
            ("filesystem.size", "libvirt.domain.filesystem.limit", "Size of a guest's file system."),
        )
    ),
    *(
        _gauge(
            key,
            metric,
            unit,
            Source.GUEST,
            description,
            absent=absences.NO_LOAD_IN_AGENT,
            also_absent=(*absences.ASKING_GUEST, absences.NO_LOAD_IN_API, absences.NO_LOAD_IN_LIBVIRT),
            of_guest=True,
        )
        for key, metric, unit, description in (
            *(
                (
                    f"guest.load.{minutes}m",
                    f"libvirt.domain.guest.load.{minutes}m",
                    "1",
                    f"Tasks that run or wait in the guest, mean of {mean}.",
                )
                for minutes, mean in ((1, "a minute"), (5, "5 minutes"), (15, "15 minutes"))
            ),
            ("guest.cpus", "libvirt.domain.guest.cpu.count", "{cpu}", "vCPUs of the guest whose load this is."),
        )
    ),
    _gauge(
        "migration.downtime",
        "libvirt.domain.job.downtime",
        "s",
        Source.JOB,
        "How long a live migration that runs would stop the guest if it switched now; not known in its first pass.",
        absent=_NO_MIGRATION,
    ),
    _gauge(
        "memory.dirty.rate",
        "libvirt.domain.memory.dirty.rate",
        "By/s",
        Source.DIRTY_RATE,
        "Bytes per second that the guest dirties, as its migration or a measurement of the last 90 s found.",
        absent=absences.NOT_MEASURED,
    ),
    _gauge(
        "disk.error",
        "libvirt.domain.disk.error",
        "1",
        Source.ERRORS,
        "Whether a disk has an I/O error for which the VM is paused now: 0 none, 1 some, 2 no room.",
        device=_DISK,
        absent=_NO_DISK,
    ),
    *(
        reading
        for direction in ("receive", "transmit")
        for reading in (
            _counter(
                f"network.{direction}.bytes",
                "libvirt.domain.network.io",
                "By",
                Source.KERNEL,
                f"Bytes that the guest's NIC {direction}s.",
                attributes=_direction("network", direction),
                device=_NIC,
                absent=_NO_NIC,
            ),
            _counter(
                f"network.{direction}.packets",
                "libvirt.domain.network.packet.count",
                "{packet}",
                Source.KERNEL,
                f"Packets that the guest's NIC {direction}s.",
                attributes=_direction("network", direction),
                device=_NIC,
                absent=_NO_NIC,
            ),
            _counter(
                f"network.{direction}.drops",
                "libvirt.domain.network.packet.dropped",
                "{packet}",
                Source.KERNEL,
                f"Packets dropped on {direction}.",
                attributes=_direction("network", direction),
                device=_NIC,
                absent=_NO_NIC,
            ),
            _counter(
                f"network.{direction}.errors",
                "libvirt.domain.network.errors",
                "{error}",
                Source.KERNEL,
                f"Errors on {direction}.",
                attributes=_direction("network", direction),
                device=_NIC,
                absent=_NO_NIC,
            ),
        )
    ),
    *(
        reading
        for direction in ("read", "write", "flush")
        for reading in (
            _counter(
                f"disk.{direction}.operations",
                "libvirt.domain.disk.operations",
                "{operation}",
                Source.BLOCK,
                f"Completed {direction} operations.",
                attributes=_direction("disk", direction),
                device=_DISK,
                absent=_NO_DISK,
            ),
            _counter(
                f"disk.{direction}.time",
                "libvirt.domain.disk.operation_time",
                "s",
                Source.BLOCK,
                f"Time that {direction} operations took, summed.",
                attributes=_direction("disk", direction),
                device=_DISK,
                absent=_NO_DISK,
            ),
        )
    ),
    *(
        _counter(
            f"disk.{direction}.bytes",
            "libvirt.domain.disk.io",
            "By",
            Source.BLOCK,
            f"Bytes {past}.",
            attributes=_direction("disk", direction),
            device=_DISK,
            absent=_NO_DISK,
        )
        for direction, past in (("read", "read"), ("write", "written"))
    ),
    _gauge(
        "disk.capacity",
        "libvirt.domain.disk.limit",
        "By",
        Source.BLOCK,
        "Size that the guest sees.",
        device=_DISK,
        absent=_NO_DISK,
    ),
    _gauge(
        "disk.allocation",
        "libvirt.domain.disk.allocation",
        "By",
        Source.BLOCK,
        "What a disk occupies of its storage: a file's blocks, or a volume up to the highest offset that was written.",
        device=_DISK,
        absent=_NO_ROOM,
    ),
    _gauge(
        "disk.room",
        "libvirt.domain.disk.room",
        "By",
        Source.BLOCK,
        "What a disk may occupy of its storage: a file's full size, or its volume's size.",
        device=_DISK,
        absent=_NO_ROOM,
    ),
    _gauge("memory.balloon", "libvirt.domain.memory.usage", "By", Source.BALLOON, "Memory given to the guest now."),
    _gauge("memory.maximum", "libvirt.domain.memory.limit", "By", Source.BALLOON, "Memory that the guest may have."),
    _gauge(
        "memory.available",
        "libvirt.domain.memory.guest.available",
        "By",
        Source.BALLOON,
        "Memory that the guest's kernel manages.",
        absent=_NO_REPORT,
        of_guest=True,
    ),
    _gauge(
        "memory.usable",
        "libvirt.domain.memory.guest.usable",
        "By",
        Source.BALLOON,
        "Memory that the guest can use without swapping; its cache counts as usable.",
        absent=_NO_REPORT,
        of_guest=True,
    ),
    _counter(
        "memory.major_faults",
        "libvirt.domain.paging.faults",
        "{fault}",
        Source.BALLOON,
        "Page faults that the guest served from disk.",
        attributes=(("system.paging.fault.type", "major"),),
        absent=_NO_REPORT,
        of_guest=True,
    ),
    _counter(
        "memory.swap_in",
        "libvirt.domain.paging.io",
        "By",
        Source.BALLOON,
        "Bytes that the guest swapped in.",
        attributes=(("system.paging.direction", "in"),),
        absent=_NO_REPORT,
        of_guest=True,
    ),
    _counter(
        "memory.swap_out",
        "libvirt.domain.paging.io",
        "By",
        Source.BALLOON,
        "Bytes that the guest swapped out.",
        attributes=(("system.paging.direction", "out"),),
        absent=_NO_REPORT,
        of_guest=True,
    ),
    _gauge(
        "memory.guest.age",
        "libvirt.domain.memory.guest.age",
        "s",
        Source.BALLOON,
        "Age of the guest's own memory figures.",
        absent=_NO_REPORT,
        of_guest=True,
    ),
    _gauge(
        "memory.guest.updated",
        "libvirt.domain.memory.guest.updated",
        "s",
        Source.BALLOON,
        "When the guest last reported its memory, in seconds since 1970.",
        absent=_NO_REPORT,
        of_guest=True,
    ),
)
