# Whether a watch that delivers nothing has nothing to deliver, by what the API server holds.
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Generic

from virtwatch_operator.workqueue import K

# uid and generation; None for what is gone.
Mark = tuple[str, int] | None
# One look may meet an object whose change is on its way.
_LOOKS = 2


class WatchCheck(Generic[K]):
    """Remember what a watch delivered; find what it did not. Safe to use from several threads."""

    def __init__(self) -> None:
        self._received: dict[K, Mark] = {}
        self._missed: dict[K, tuple[Mark, int]] = {}
        self._lock = threading.Lock()
        self.stale = False

    def received(self, key: K, mark: Mark) -> None:
        """Take note of what the watch delivered."""
        with self._lock:
            if mark is None:
                self._received.pop(key, None)
            else:
                self._received[key] = mark

    def look(self, held: Mapping[K, Mark]) -> Collection[K]:
        """Return what the watch has not delivered of what the API server holds; `stale` says whether there is any."""
        with self._lock:
            missed = {
                key: held.get(key) for key in {*held, *self._received} if self._received.get(key) != held.get(key)
            }
            self._missed = {key: (mark, self._looks(key, mark) + 1) for key, mark in missed.items()}
            found = [key for key, (_, looks) in self._missed.items() if looks >= _LOOKS]
            gone = [key for key in found if held.get(key) is None]
            for key in gone:
                self._received.pop(key, None)
            # kopf is known not to deliver what was deleted while it listed again: no reason to restart its watch.
            self.stale = len(found) > len(gone)
            return found

    def _looks(self, key: K, mark: Mark) -> int:
        before, looks = self._missed.get(key, (None, 0))
        return looks if before == mark else 0


def check(watch: WatchCheck[K], held: Mapping[K, Mark], *, mark: Callable[[K], None]) -> str:
    """Mark what a watch has not delivered; return a sentence about it, empty where nothing is missing."""
    missed = watch.look(held)
    for key in missed:
        mark(key)
    if not watch.stale:
        return ""
    return f"it does not deliver what changed ({len(missed)}, such as {min(map(str, missed))})"
