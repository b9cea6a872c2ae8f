"""The seam for whoever can ask a guest."""

from collections.abc import Callable

from virtwatch_agent.collect.found import Found
from virtwatch_agent.observations import Domain
from virtwatch_api.catalogue import absences
from virtwatch_api.catalogue.readings import READINGS, Source

# Asks one guest for its own figures, or says why there are none; may take seconds, and raises nothing.
GuestReader = Callable[[Domain], Found]

_KEYS = tuple(item.key for item in READINGS if item.source is Source.GUEST)
FILE_SYSTEMS = tuple(key for key in _KEYS if key.startswith("filesystem."))
LOAD = tuple(key for key in _KEYS if key.startswith("guest."))


def nothing(why: str, *, load: str = "") -> Found:
    """Return that a guest has no figures, and why; `load` says it of its load where that is another reason."""
    return Found({}, {**dict.fromkeys(_KEYS, why), **(dict.fromkeys(LOAD, load) if load else {})})


def nobody_asks(_: Domain) -> Found:
    """Stand in where there is no way to a guest."""
    return nothing(absences.GUEST_NOT_ASKED)
