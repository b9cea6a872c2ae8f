"""The backups and block jobs of each domain: libvirt reports no start of one, so that they are looked for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import libvirt

from virtwatch_agent.collect.libvirt.events import PlainEvent, block_job_name, is_backup
from virtwatch_agent.observations import TargetEvent
from virtwatch_api.targets import vm_ref

Job = tuple[str, str]  # what it does, and the disk; a backup is of the whole domain
_BACKUP: Job = ("backup", "")
_BLOCK_JOB = "vm.block_job_"
_MISSED = 2  # looks in a row without a job that is forgotten then: its end is reported within the first, if at all
_MILLISECOND = 0.001
_ACTIVE = (libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED)


@dataclass(frozen=True, slots=True)
class JobsSeen:
    """Hold the jobs that run, each with the seconds for which it has, 0 where libvirt does not say.

    `at` is when libvirt was about to be asked: what ended since may be among them.
    """

    at: float
    running: Mapping[Job, float]


@dataclass(slots=True)
class _Known:
    running: dict[Job, int] = field(default_factory=dict)  # and how many looks in a row have missed each
    ended: dict[Job, float] = field(default_factory=dict)  # when each was last reported to have ended


class Jobs:
    """Know the jobs of each domain that is looked at; those that ran at the first look are no news."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def seen(self, uuid: str, seen: JobsSeen) -> Iterator[TargetEvent]:
        """Say what started since the last look."""
        known = self._known.get(uuid)
        if known is None:
            self._known[uuid] = _Known(dict.fromkeys(seen.running, 0))
            return
        missed = {job: looks + 1 for job, looks in known.running.items() if looks + 1 < _MISSED}
        found = [job for job in seen.running if known.ended.get(job, float("-inf")) < seen.at]
        new = [job for job in found if job not in known.running]
        known.running = missed | dict.fromkeys(found, 0)
        for job in new:
            yield _started(uuid, job, seen.at - seen.running[job])

    def reported(self, uuid: str, event: PlainEvent, *, at: float) -> Iterator[TargetEvent]:
        """Say that a job had started of which libvirt reports something first; one that ended may start again."""
        known, job = self._known.get(uuid), _job(event)
        if known is None or job is None:
            return
        if job not in known.running:
            yield _started(uuid, job, at - max(event.seconds, _MILLISECOND))  # before its end in any order by time
        if event.type == f"{_BLOCK_JOB}ready":
            known.running[job] = 0
        else:
            known.running.pop(job, None)
            known.ended[job] = at

    def forget(self, uuid: str) -> None:
        """Drop a domain that is gone, or is not looked at any more."""
        self._known.pop(uuid, None)


def read_jobs(domain: libvirt.virDomain, disks: Iterable[str], *, at: float) -> JobsSeen:
    """Ask for the jobs of a domain, in the pool; none of a driver that has no such calls.

    Only while a job runs is QEMU asked: that there is none libvirt knows.
    """
    running: dict[Job, float] = {}
    try:
        job = domain.jobStats()
        if job.get("type") in _ACTIVE and is_backup(job):
            running[_BACKUP] = job.get("time_elapsed", 0) * _MILLISECOND
        for disk in disks:
            if name := block_job_name(domain.blockJobInfo(disk).get("type", 0)):
                running[name, disk] = 0.0
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
    return JobsSeen(at, running)


def _job(event: PlainEvent) -> Job | None:
    """Return the job that an event is about."""
    if event.type in ("vm.backup_completed", "vm.backup_failed"):
        return _BACKUP
    if event.type.startswith(_BLOCK_JOB):
        return event.attributes["job"], event.attributes["device"]
    return None


def _started(uuid: str, job: Job, at: float) -> TargetEvent:
    name, device = job
    if job == _BACKUP:
        return TargetEvent("vm.backup_started", vm_ref(uuid), at, inferred=True)
    return TargetEvent(f"{_BLOCK_JOB}started", vm_ref(uuid), at, {"device": device, "job": name}, inferred=True)
