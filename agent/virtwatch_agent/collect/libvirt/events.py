"""What libvirt tells, in the words of the catalogue: tables, no state.

The position of a word is libvirt's number for it in libvirt-domain.h (a stable ABI); a number that is newer than
these tables reads "unknown".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

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
# virDomain*Reason, where they are kept in the same words, so that what is heard and what is listed compare
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
    """A device was plugged or unplugged."""


LibvirtEvent = LifecycleEvent | RebootEvent | IoErrorEvent | WatchdogEvent | MemoryPassEvent | DevicesEvent


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
