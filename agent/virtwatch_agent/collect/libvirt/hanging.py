"""Which VMs are not asked while monitor calls about others hang.

Each call that hangs takes one of libvirt's workers, of which there are 20 (max_workers): where storage hangs under many
VMs, asking all of them would block libvirt for everybody.
"""

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable

_HOLD_AT = 4  # calls that hang, from which on VMs are held back that would probably hang as well
_MOST = 8  # calls of one libvirt that may hang, before none is asked but who answered since
_LIMIT = 12  # the same, before nobody is asked at all: who just answered may hang as well
_SHARED = 2  # VMs that hang on one storage, which make it suspect: one alone may hang for reasons of its own
_TRIAL_S = 60.0  # between trials whether a VM that is held back would answer after all
_STOPPED = "its QEMU is stopped (SIGSTOP)"


class Hanging:
    """Know the calls of one libvirt that hang."""

    def __init__(self, places: Callable[[str], frozenset[str]], is_stopped: Callable[[str], bool]) -> None:
        """`places` names the storage that a VM's disks lie on, `is_stopped` says whether its QEMU is stopped."""
        self._find_places = places
        self._is_stopped = is_stopped
        self._culprits: dict[object, frozenset[str]] = {}  # by call: the VMs that it waits for, as far as that is known
        self._proven: set[str] = set()  # answered since calls hang
        self._doubted: dict[object, set[str]] = {}  # by call: who was proven before it hung
        self._places: dict[str, frozenset[str]] = {}
        self._trial: str | None = None  # would be held back, and is let through until it is asked
        self._tried_at: float | None = None  # monotonic seconds, when the last one was chosen

    def __bool__(self) -> bool:
        return bool(self._culprits)

    def began(self, call: object, uuids: Collection[str]) -> None:
        """Take a call about VMs that hangs."""
        self._doubted[call] = self._proven.intersection(uuids)
        self._proven -= self._doubted[call]
        self._culprits[call] = frozenset(uuids) if len(uuids) == 1 else frozenset()

    def found(self, call: object, culprits: Iterable[str]) -> None:
        """Take for which of its VMs a call waits."""
        if call in self._culprits:
            self._culprits[call] = frozenset(culprits)
            self._proven |= self._doubted.pop(call, set()) - self._culprits[call]

    def ended(self, call: object) -> None:
        """Take the end of a call."""
        self._culprits.pop(call, None)
        self._doubted.pop(call, None)
        if not self._culprits:
            self._proven.clear()
            self._places.clear()
            self._trial = self._tried_at = None

    def asked(self, uuids: Collection[str]) -> None:
        """Take VMs that are asked now."""
        if self._trial in uuids:
            self._trial = None

    def answered(self, uuids: Iterable[str]) -> None:
        """Take VMs that answer while calls about others hang."""
        if self._culprits:
            self._proven.update(uuids)

    def proven(self, uuids: Iterable[str]) -> list[str]:
        """Return those that answered since calls hang."""
        return [uuid for uuid in uuids if uuid in self._proven]

    def held(self, wanted: Iterable[str], *, now: float) -> dict[str, str]:
        """Say which of these VMs are better not asked now (monotonic seconds), and why."""
        hanging = len(self._culprits)
        if hanging < _HOLD_AT:
            return {}
        suspect, most = self._suspect(), f"{hanging} calls to its libvirt do not return, so that no more are made"
        held = {}
        for uuid in wanted:
            if why := self._why(uuid, suspect):
                held[uuid] = why
            elif hanging >= _LIMIT or (hanging >= _MOST and uuid not in self._proven):
                held[uuid] = most
        self._try_one(held, now)
        return held

    def _try_one(self, held: dict[str, str], now: float) -> None:
        """Let one be asked now and then: it may be that VMs hang for reasons that have nothing to do with it.

        It is let through until it is asked: the connection may be busy now, or others be asked first.
        """
        candidates = [uuid for uuid, why in held.items() if why != _STOPPED]
        if self._tried_at is None:
            self._tried_at = now
        elif len(self._culprits) < _MOST - 1 and candidates:
            if self._trial not in candidates and now - self._tried_at >= _TRIAL_S:
                self._tried_at, self._trial = now, random.choice(candidates)
            if self._trial in candidates:
                del held[self._trial]

    def _why(self, uuid: str, suspect: Counter[str]) -> str:
        if self._is_stopped(uuid):
            return _STOPPED
        shared = sorted(suspect.keys() & self._on(uuid))
        return f"calls about {suspect[shared[0]]} VMs with disks on {shared[0]} do not return" if shared else ""

    def _suspect(self) -> Counter[str]:
        """Count the VMs that hang by storage, where no VM answers any more."""
        culprits = {uuid for found in self._culprits.values() for uuid in found if not self._is_stopped(uuid)}
        hang = Counter(place for uuid in culprits for place in self._on(uuid))
        for place in {place for uuid in self._proven for place in self._on(uuid)}:
            del hang[place]
        return Counter({place: count for place, count in hang.items() if count >= _SHARED})

    def _on(self, uuid: str) -> frozenset[str]:
        if uuid not in self._places:
            self._places[uuid] = self._find_places(uuid)
        return self._places[uuid]
