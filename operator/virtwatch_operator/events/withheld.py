# Counts the Events that the budget withheld, per object, and says when the count is due to be reported. Pure.
from dataclasses import dataclass

from virtwatch_operator.events.bodies import Announcement, withheld

ANNOUNCE_EVERY_S = 10.0  # a growing count is written so often at most
# The API server forgets Events after an hour by default; a new one begins before that.
LIFE_S = 2700.0


@dataclass(slots=True)
class _Episode:
    first: Announcement
    begun: float
    newest: str
    last: float
    count: int = 1
    announced: int = 0
    announced_at: float = float("-inf")


class Withheld:
    """Hold one episode per budget. `now` is monotonic seconds, `at` seconds since 1970."""

    def __init__(self, *, burst: int) -> None:
        self._burst = burst
        self._episodes: dict[str, _Episode] = {}

    def add(self, announcement: Announcement, *, at: float, now: float) -> None:
        """Count one more; the same one again, from a turn that is tried again, counts once."""
        episode = self._episodes.get(announcement.budget)
        if episode is None or now - episode.begun >= LIFE_S:
            self._episodes[announcement.budget] = _Episode(announcement, now, announcement.name, at)
        elif episode.newest != announcement.name:
            episode.newest = announcement.name
            episode.last = max(episode.last, at)
            episode.count += 1

    def due(self, *, now: float) -> list[tuple[Announcement, int]]:
        """Return what is to be reported now, each with the count that it tells; what was never told is due at once."""
        self._drop_ended(now)
        return [
            (withheld(episode.first, count=episode.count, burst=self._burst, last=episode.last), episode.count)
            for episode in self._episodes.values()
            if episode.announced < episode.count and now - episode.announced_at >= ANNOUNCE_EVERY_S
        ]

    def announced(self, budget: str, count: int, *, now: float) -> None:
        """Note that a count was reported."""
        episode = self._episodes.get(budget)
        if episode is not None:
            episode.announced, episode.announced_at = count, now

    def _drop_ended(self, now: float) -> None:
        for budget, episode in list(self._episodes.items()):
            if episode.announced == episode.count and now - episode.begun >= LIFE_S:
                del self._episodes[budget]
