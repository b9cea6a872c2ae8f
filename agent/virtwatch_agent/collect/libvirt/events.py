"""What libvirt reports, in the words of the catalogue: tables, no state.

The position of a word is libvirt's number for it in libvirt-domain.h (a stable ABI); a number that is newer than
these tables reads "unknown".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from virtwatch_agent.observations import DomainState

UNKNOWN = "unknown"
# virDomainEvent*DetailType
_STARTED = ("booted", "migrated", "restored", "snapshot", "wakeup")
_SUSPENDED = (
    "user",
    "migration",
    "ioerror",
    "watchdog",
    "restored",
    "snapshot",
    "api_error",
    "postcopy",
    "postcopy_failed",
)
_RESUMED = ("", "migrated", "snapshot", "postcopy", "postcopy_failed")
_STOPPED = ("shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "snapshot")
_CRASHED = ("panicked", "crashloaded")
# virDomain*Reason, where they are kept in the same words, so that what is received and what is listed compare
_RUNNING_REASON = (UNKNOWN, "booted", "migrated", "restored", "snapshot", *[UNKNOWN] * 3, "wakeup")
_PAUSED_REASON = (
    UNKNOWN,
    "user",
    "migration",
    "saved",
    "dump",
    "ioerror",
    "watchdog",
    "snapshot",
    "shutdown",
    "snapshot",
    "crashed",
    "starting",
    "postcopy",
    "postcopy_failed",
    "api_error",
)
# "lost" twice: a start that failed hides why the run before it ended, and the daemon's own doubts tell nothing.
_SHUTOFF_REASON = (UNKNOWN, "shutdown", "destroyed", "crashed", "migrated", "saved", "lost", "snapshot", "lost")
_CRASHED_REASON = (UNKNOWN, "panicked")
# virDomainEventIOErrorAction, virDomainEventWatchdogAction
_IO_ERROR_ACTION = ("none", "pause", "report")
_WATCHDOG_ACTION = ("none", "pause", "reset", "poweroff", "shutdown", "debug", "inject_nmi")

# virDomainBlockJobType, virConnectDomainEventBlockJobStatus, virDomainEventMemoryFailureActionType
_BLOCK_JOB = (UNKNOWN, "pull", "copy", "commit", "active_commit", "backup")
_BLOCK_JOB_STATUS = ("completed", "failed", "canceled", "ready")
_MEMORY_FAILURE_ACTION = ("ignore", "inject", "fatal", "reset")
_AGENT_CONNECTED = 1  # VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED
_BACKUP = 9  # VIR_DOMAIN_JOB_OPERATION_BACKUP


class Turn(Enum):
    """Name the turns in a domain's life."""

    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    STOPPED = "stopped"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """A domain took a turn."""

    turn: Turn
    reason: str


@dataclass(frozen=True, slots=True)
class RebootEvent:
    """A guest rebooted; libvirt says each reboot several times."""


@dataclass(frozen=True, slots=True)
class IoErrorEvent:
    """A disk failed; `alias` is the device's alias."""

    alias: str
    action: str
    reason: str


@dataclass(frozen=True, slots=True)
class WatchdogEvent:
    """A guest's watchdog expired."""

    action: str


@dataclass(frozen=True, slots=True)
class MemoryPassEvent:
    """A domain's memory was passed over, to be moved or saved."""


@dataclass(frozen=True, slots=True)
class DevicesEvent:
    """A device was plugged or unplugged; `removed` is the alias of one that was unplugged."""

    removed: str = ""


@dataclass(frozen=True, slots=True)
class PlainEvent:
    """What is reported as libvirt reports it: a type of the catalogue and its attributes."""

    type: str
    attributes: Mapping[str, str]
    seconds: float = 0.0  # for which what ended had lasted, where libvirt says it


LibvirtEvent = LifecycleEvent | RebootEvent | IoErrorEvent | WatchdogEvent | MemoryPassEvent | DevicesEvent | PlainEvent


def lifecycle(event: int, detail: int) -> LifecycleEvent | None:
    """Read VIR_DOMAIN_EVENT_ID_LIFECYCLE; None for what changes nothing here (defined, about to shut down, …)."""
    match event:
        case 2 if _word(_STARTED, detail) == "wakeup":
            return LifecycleEvent(Turn.RESUMED, "wakeup")
        case 2:
            return LifecycleEvent(Turn.STARTED, _word(_STARTED, detail))
        case 3:
            return LifecycleEvent(Turn.PAUSED, _word(_SUSPENDED, detail))
        case 4:
            return LifecycleEvent(Turn.RESUMED, _word(_RESUMED, detail))
        case 5:
            return LifecycleEvent(Turn.STOPPED, _word(_STOPPED, detail))
        case 7:
            return LifecycleEvent(Turn.PAUSED, "suspended")
        case 8:
            return LifecycleEvent(Turn.CRASHED, _word(_CRASHED, detail))
        case _:
            return None


def io_error(alias: str, action: int, reason: str) -> IoErrorEvent:
    """Read VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON; libvirt leaves the reason empty but for a full disk (enospc)."""
    return IoErrorEvent(alias, _word(_IO_ERROR_ACTION, action), reason)


def watchdog(action: int) -> WatchdogEvent:
    """Read VIR_DOMAIN_EVENT_ID_WATCHDOG."""
    return WatchdogEvent(_word(_WATCHDOG_ACTION, action))


def block_job(device: str, job: int, status: int) -> PlainEvent | None:
    """Read VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2; None for a disk's part of a backup, whose end is reported as such."""
    outcome, name = _word(_BLOCK_JOB_STATUS, status), block_job_name(job)
    if outcome == UNKNOWN or not name:
        return None
    return PlainEvent(f"vm.block_job_{outcome}", {"device": device, "job": name})


def block_job_name(job: int) -> str:
    """Read virDomainBlockJobType; empty for none, for one that is not known, and for a disk's part of a backup."""
    name = _word(_BLOCK_JOB, job)
    return "" if name in (UNKNOWN, "backup") else name


def is_backup(job: Mapping[str, Any]) -> bool:
    """Return whether what virDomainGetJobStats tells is about a backup."""
    return job.get("operation") == _BACKUP


def job_completed(job: Mapping[str, Any]) -> PlainEvent | None:
    """Read VIR_DOMAIN_EVENT_ID_JOB_COMPLETED; None for jobs that other events report (migration, save, dump)."""
    if not is_backup(job):
        return None
    seconds = job.get("time_elapsed", 0) / 1000
    if job.get("success", True):
        return PlainEvent("vm.backup_completed", {}, seconds)
    return PlainEvent("vm.backup_failed", {"reason": str(job.get("errmsg") or UNKNOWN)}, seconds)


def agent_lifecycle(state: int) -> PlainEvent:
    """Read VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE."""
    return PlainEvent("vm.agent_connected" if state == _AGENT_CONNECTED else "vm.agent_disconnected", {})


def block_threshold(device: str) -> PlainEvent | None:
    """Read VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD; libvirt reports it of the disk, and again of the node behind it."""
    return None if "[" in device else PlainEvent("vm.block_threshold", {"device": device})


def memory_failure(action: int) -> PlainEvent:
    """Read VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE."""
    return PlainEvent("vm.memory_failure", {"action": _word(_MEMORY_FAILURE_ACTION, action)})


def listed_state(state: int, reason: int) -> tuple[DomainState, str]:
    """Read virDomainState and its reason, as a listing shows them."""
    match state:
        case 3:
            return DomainState.PAUSED, _word(_PAUSED_REASON, reason)
        case 5:
            return DomainState.STOPPED, _word(_SHUTOFF_REASON, reason)
        case 6:
            return DomainState.CRASHED, _word(_CRASHED_REASON, reason)
        case 7:
            return DomainState.PAUSED, "suspended"
        case _:
            return DomainState.RUNNING, _word(_RUNNING_REASON, reason)


def _word(words: Sequence[str], number: int) -> str:
    return words[number] if 0 <= number < len(words) else UNKNOWN
