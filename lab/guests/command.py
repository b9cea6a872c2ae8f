"""python -m lab guest NAME REQUEST: load, break and heal a guest of a kept run."""

from collections.abc import Callable

from lab.guests.guest import Guest
from lab.guests.kept import find_guest
from tools.errors import ToolError


def _crash(guest: Guest) -> None:
    guest.crash()
    guest.wait_state("crashed", "panicked")


def _start(guest: Guest) -> None:
    if guest.state.state == "crashed":
        guest.destroy()  # Its QEMU is kept for a look at it, and stands in the way.
    guest.start()


LOADS = ("cpu", "disk", "net", "memory")
REQUESTS: dict[str, Callable[[Guest], object]] = {
    "calm": Guest.calm,
    "fill": Guest.fill_disk,
    "free": Guest.free_disk,
    "pause": Guest.pause,
    "resume": Guest.resume,
    "crash": _crash,
    "reboot": Guest.reboot,
    "poweroff": Guest.poweroff,
    "watchdog": Guest.starve_watchdog,
    "freeze": Guest.freeze_qemu,
    "thaw": Guest.thaw_qemu,
    "kill": Guest.kill_qemu,
    "destroy": Guest.destroy,
    "start": _start,
}


def guest(name: str, request: list[str]) -> None:
    """Do what was asked of a guest, then print its state."""
    act = read_request(request)
    found = find_guest(name)
    act(found)
    state = found.state
    print(f"{name}: {state.state} ({state.reason})")


def read_request(request: list[str]) -> Callable[[Guest], object]:
    """Return the deed that a request names; an unknown one is a ToolError."""
    match request:
        case [] | ["state"]:
            return lambda _: None
        case [load, "on"] if load in LOADS:
            return lambda guest: guest.busy(**{load: True})
        case [load, "off"] if load in LOADS:
            return lambda guest: guest.calm(load)
        case [verb] if verb in REQUESTS:
            return REQUESTS[verb]
    loads = ", ".join(f"{load} on|off" for load in LOADS)
    raise ToolError(f"A guest does not know {' '.join(request)!r}; it knows {loads}, {', '.join(REQUESTS)} and state.")
