"""The events of a VM, with the values that their attributes can have: libvirt's words where libvirt says them."""

from virtwatch_api.catalogue.entries import Attribute, EventSeverity, EventType, TargetKind

_I, _W, _E = EventSeverity.INFO, EventSeverity.WARNING, EventSeverity.ERROR


def _event(
    name: str,
    severity: EventSeverity,
    description: str,
    *where: Attribute,
    otel_name: str = "",
    implemented: bool = True,
) -> EventType:
    otel_name = otel_name or "libvirt.domain." + name.removeprefix("vm.")
    return EventType(name, otel_name, severity, description, (TargetKind.VIRTUAL_MACHINE,), where, implemented)


def _planned(name: str, severity: EventSeverity, description: str, *where: Attribute, otel_name: str = "") -> EventType:
    return _event(name, severity, description, *where, otel_name=otel_name, implemented=False)


def _reason(*values: str) -> Attribute:
    return Attribute("reason", (*values, "unknown") if values else ())


_DEVICE = Attribute("device")
_JOB = Attribute("job", ("pull", "copy", "commit", "active_commit"))
_LOOKED_FOR = (
    "libvirt does not report it: found within 15 s, or as the job ends, and only on VMs for which a rule asks for it; "
    "jobs that run when the looks begin are not reported"
)
_CAUSE = Attribute("cause", ("oom", "qemu_exit"))
_CAUSE_OF_END = Attribute("cause", (*_CAUSE.values, "deleted", "evicted"))

EVENTS: tuple[EventType, ...] = (
    _event(
        "vm.started",
        _I,
        "The VM started: booted, restored or migrated in.",
        _reason("booted", "migrated", "restored", "snapshot"),
    ),
    _event(
        "vm.stopped",
        _I,
        "The VM stopped: shutdown is by its guest, destroyed by a person or controller, failed is an end of QEMU; lost "
        "where nobody said why. cause is, of failed and crashed, oom or qemu_exit; of others, deleted where somebody "
        "deleted or stopped it through the Kubernetes API, evicted where its pod was evicted, as by a drain.",
        _reason("shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "snapshot", "lost"),
        _CAUSE_OF_END,
    ),
    _event(
        "vm.crashed",
        _E,
        "The guest panicked, or its QEMU ended by itself. cause, of the latter, is oom where the host just killed a "
        "process for lack of memory, else qemu_exit.",
        _reason("panicked", "crashloaded", "crashed", "failed"),
        _CAUSE,
    ),
    _event(
        "vm.paused",
        _W,
        "The VM is paused.",
        _reason(
            "user",
            "migration",
            "ioerror",
            "watchdog",
            "postcopy",
            "postcopy_failed",
            "api_error",
            "snapshot",
            "restored",
            "saved",
            "dump",
            "shutdown",
            "crashed",
            "starting",
            "suspended",
        ),
    ),
    _event(
        "vm.resumed",
        _I,
        "The VM runs again after a pause; without a reason where a user resumed it.",
        _reason("migrated", "snapshot", "postcopy", "postcopy_failed", "wakeup"),
    ),
    _event("vm.rebooted", _I, "The guest rebooted; libvirt's repeats of one reboot are reported once."),
    _event(
        "vm.io_error",
        _E,
        "A disk failed an operation; action is what QEMU did, reason is enospc where its storage is full.",
        Attribute("action", ("none", "pause", "report", "unknown")),
        Attribute("reason"),
        _DEVICE,
    ),
    _event(
        "vm.watchdog",
        _E,
        "The guest's watchdog expired; action is what QEMU did.",
        Attribute("action", ("none", "pause", "reset", "poweroff", "shutdown", "debug", "inject_nmi", "unknown")),
    ),
    _event(
        "vm.telemetry_stuck", _W, "The VM's monitor does not answer; its last values grow old.", Attribute("reason")
    ),
    _event("vm.telemetry_recovered", _I, "The VM's monitor answers again."),
    _event("vm.block_threshold", _W, "A disk grew past its threshold.", _DEVICE),
    _event("vm.agent_connected", _I, "The guest agent connected.", otel_name="libvirt.domain.agent.connected"),
    _event("vm.agent_disconnected", _W, "The guest agent went away.", otel_name="libvirt.domain.agent.disconnected"),
    _event(
        "vm.memory_failure",
        _E,
        "The host's memory failed under the VM.",
        Attribute("action", ("ignore", "inject", "fatal", "reset", "unknown")),
    ),
    _event("vm.device_removed", _I, "A device was unplugged.", _DEVICE),
    _event(
        "vm.block_job_started",
        _I,
        f"A block job of a disk started; {_LOOKED_FOR}.",
        _DEVICE,
        _JOB,
        otel_name="libvirt.domain.block_job.started",
    ),
    *(
        _event(
            f"vm.block_job_{outcome}",
            severity,
            f"A block job of a disk {what}.",
            _DEVICE,
            _JOB,
            otel_name=f"libvirt.domain.block_job.{outcome}",
        )
        for outcome, severity, what in (
            ("ready", _I, "has caught up and waits to be pivoted or ended"),
            ("completed", _I, "succeeded"),
            ("canceled", _I, "was canceled"),
            ("failed", _W, "failed"),
        )
    ),
    _event("vm.backup_started", _I, f"A backup started; {_LOOKED_FOR}.", otel_name="libvirt.domain.backup.started"),
    _event("vm.backup_completed", _I, "A backup succeeded.", otel_name="libvirt.domain.backup.completed"),
    _event(
        "vm.backup_failed",
        _W,
        "A backup failed or was canceled; reason is libvirt's.",
        Attribute("reason"),
        otel_name="libvirt.domain.backup.failed",
    ),
    _event(
        "vm.snapshot_created",
        _I,
        "A snapshot of libvirt's was created; found by comparing every 15 s.",
        Attribute("snapshot"),
        otel_name="libvirt.domain.snapshot.created",
    ),
    _event(
        "vm.snapshot_deleted",
        _I,
        "A snapshot of libvirt's was deleted; found by comparing every 15 s.",
        Attribute("snapshot"),
        otel_name="libvirt.domain.snapshot.deleted",
    ),
    _event(
        "vm.cloned",
        _I,
        "KubeVirt cloned the VM (VirtualMachineClone); clone is the new VM's name. Nobody reports it of a VM that does "
        "not run, nor of plain libvirt: virt-clone copies disks by itself.",
        Attribute("clone"),
    ),
    _event(
        "vm.migration_started",
        _I,
        "A live migration that takes the VM away from its node started.",
        otel_name="libvirt.domain.migration.started",
    ),
    _event(
        "vm.migration_completed",
        _I,
        "A live migration succeeded; the node that the VM left says so (role source), and the one to which it came "
        "(role target).",
        Attribute("role", ("source", "target")),
        otel_name="libvirt.domain.migration.completed",
    ),
    _event(
        "vm.migration_failed",
        _W,
        "A live migration failed; the VM stays on its node. KubeVirt says the reason.",
        Attribute("reason"),
        otel_name="libvirt.domain.migration.failed",
    ),
)
