# Whether a watch that tells nothing has nothing to tell: what it told is compared with what the API server holds.
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Generic

from virtwatch_operator.workqueue import K

# uid and generation; None for what is gone.
Mark = tuple[str, int] | None
# One look may meet an object whose change is on its way.
_LOOKS = 2


class Hearing(Generic[K]):
    """Remember what was heard of; find what was not. Safe to use from several threads."""

    def __init__(self) -> None:
        self._heard: dict[K, Mark] = {}
        self._missed: dict[K, tuple[Mark, int]] = {}
        self._lock = threading.Lock()
        self.deaf = False

    def heard(self, key: K, mark: Mark) -> None:
        """Take note of what the watch told."""
        with self._lock:
            if mark is None:
                self._heard.pop(key, None)
            else:
                self._heard[key] = mark

    def look(self, held: Mapping[K, Mark]) -> Collection[K]:
        """Return what the watch has still not told of what the API server holds; `deaf` is whether there is any."""
        with self._lock:
            missed = {key: held.get(key) for key in {*held, *self._heard} if self._heard.get(key) != held.get(key)}
            self._missed = {key: (mark, self._looks(key, mark) + 1) for key, mark in missed.items()}
            found = [key for key, (_, looks) in self._missed.items() if looks >= _LOOKS]
            gone = [key for key in found if held.get(key) is None]
            for key in gone:
                self._heard.pop(key, None)
            # That kopf does not tell of what was deleted while it listed anew is known, and no reason to begin anew.
            self.deaf = len(found) > len(gone)
            return found

    def _looks(self, key: K, mark: Mark) -> int:
        before, looks = self._missed.get(key, (None, 0))
        return looks if before == mark else 0


def check(hearing: Hearing[K], held: Mapping[K, Mark], *, mark: Callable[[K], None]) -> str:
    """Mark what a watch has not told of; return a sentence about it, empty where there is nothing."""
    missed = hearing.look(held)
    for key in missed:
        mark(key)
    if not hearing.deaf:
        return ""
    return f"it does not tell of what changed ({len(missed)}, such as {min(map(str, missed))})"
