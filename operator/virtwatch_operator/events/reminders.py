"""Reminds of alerts that last: Events are forgotten after an hour, so one Event for each counts on while it fires."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from virtwatch_api.nodemonitor import FiringAlert
from virtwatch_operator.events.bodies import Announcement, lasting

EVERY_S = 1800.0  # well within the hour that the API server keeps an Event by default
_LOOK_EVERY_S = 60.0
_AT_ONCE = 25  # Events in one look, so that a new leader's reminders are no storm


@dataclass(frozen=True, slots=True)
class Lasting:
    """Pair an alert that fires with its policy's uid."""

    alert: FiringAlert
    policy_uid: str


class Reminders:
    """Say which reminders are due. `firing` returns the alerts that fire since a time, in seconds since 1970."""

    def __init__(
        self,
        *,
        firing: Callable[[float], Iterable[Lasting]],
        instance: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._firing = firing
        self._instance = instance
        self._clock = clock
        self._announced: dict[str, int] = {}
        self._next = 0.0

    def due(self) -> list[tuple[Announcement, int]]:
        """Return what is to be written, each with how often it was observed."""
        now = self._clock()
        if now < self._next:
            return []
        self._next = now + _LOOK_EVERY_S
        found: list[tuple[Announcement, int]] = []
        announced: dict[str, int] = {}
        for item in self._firing(now - EVERY_S):
            count = int((now - item.alert.since) // EVERY_S)
            key = item.alert.alert.id
            if count < 1 or key in announced:
                continue
            announced[key] = self._announced.get(key, 0)
            if count > announced[key] and len(found) < _AT_ONCE:
                at = item.alert.since + count * EVERY_S
                announcement = lasting(item.alert, item.policy_uid, self._instance, count=count, every=EVERY_S, at=at)
                found.append((announcement, count))
        self._announced = announced
        return found

    def announced(self, announcement: Announcement, count: int) -> None:
        """Note that a reminder was written."""
        self._announced[announcement.budget] = count
