"""At most two lines for each outage of a backend: one when it is lost, one when it is back."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from virtwatch_process.outages import Outages
from virtwatch_telemetry.settings import Destination

_log = logging.getLogger("virtwatch.telemetry")
# A backend that comes and goes is mentioned so often at most, in seconds.
QUIET = 60.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Say what went wrong with a request and what to do; `retry_after` in seconds where the server named a time.

    `what` is the same for all signals that fail alike; what differs from signal to signal stands in `detail`.
    """

    what: str
    advice: str
    retryable: bool
    retry_after: float | None = None
    detail: str = ""


@dataclass(slots=True)
class _Lost:
    since: float
    failure: Failure
    requests: int = 0
    said: bool = False


class Failures:
    """Know which destinations fail now. Several signals that fail alike at one host are said once. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lost: dict[Destination, _Lost] = {}
        self._said: dict[Destination, float] = {}
        self._outages = Outages(clock, tail=0.0)
        self._lock = threading.Lock()

    @property
    def problem(self) -> str:
        """Return a sentence about what fails now and what to do, empty when all is well."""
        with self._lock:
            return next((_sentence(item, lost.failure) for item, lost in self._lost.items()), "")

    def failed(self, destination: Destination, failure: Failure) -> None:
        """Note a request that was given up."""
        with self._lock:
            now = self._clock()
            lost = self._lost.setdefault(destination, _Lost(now, failure))
            lost.failure = failure
            lost.requests += 1
            recently = now - self._said.get(destination, float("-inf")) < QUIET
            cause = (urlsplit(destination.url).netloc, failure.what)
            if lost.said or recently or self._outages.logged(cause, by=destination):
                return
            lost.said = True
            self._said[destination] = now
        _log.warning("%s What cannot be sent meanwhile is dropped.", _sentence(destination, failure))

    def delivered(self, destination: Destination) -> None:
        """Note a request that was accepted: what failed alike at that host counts as healed too.

        Spans and events are sent only when something happens, so they alone would tell long after.
        """
        with self._lock:
            alike = self._alike(destination)
            healed = [self._lost.pop(item) for item in alike]
            for item in alike:
                self._outages.healed(item)
            now = self._clock()
        if any(lost.said for lost in healed):
            _log.warning(
                "Telemetry: %s takes %s again after %.0f s; %d requests were dropped.",
                destination.shown,
                destination.signal,
                now - min(lost.since for lost in healed),
                sum(lost.requests for lost in healed),
            )

    def _alike(self, destination: Destination) -> list[Destination]:
        own = self._lost.get(destination)
        if own is None:
            return []
        host = urlsplit(destination.url).netloc
        return [
            item
            for item, lost in self._lost.items()
            if lost.failure.what == own.failure.what and urlsplit(item.url).netloc == host
        ]


def _sentence(destination: Destination, failure: Failure) -> str:
    why = f"{failure.what}{failure.detail}; {failure.advice}"
    return f"Telemetry: {destination.shown} does not take {destination.signal}: {why}."
