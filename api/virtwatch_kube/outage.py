"""One line when a part of the API server's service is lost, and one when it is back."""

import logging
import time

from virtwatch_kube.errors import Forbidden, KubeError, NotFound, NotServed, NotYetServed, Unavailable
from virtwatch_process.outages import Outages

logger = logging.getLogger(__name__)

_NO_ANSWER = (0, 429, 503, 504)  # of the server itself; other 5xx, such as a failing webhook, concern one request
COMING_S = 10.0  # a kind that was created together with whom it serves is there by then: no outage


def concerns_all(error: Exception) -> bool:
    """Return whether an error is about the API server or its kinds, not about one request."""
    return isinstance(error, NotServed) or (isinstance(error, Unavailable) and error.status in _NO_ANSWER)


class Outage:
    """Log one line when `what` is lost and one when it is back, however often it is tried in between.

    A failure of another kind is worth a line too once it has come twice in a row: an API server that starts answers
    this and that for a moment. A kind that is not served yet is none for 10 s. What another one `among` those of the
    process has said is not said again.
    """

    def __init__(self, what: str, *, consequence: str, among: Outages | None = None) -> None:
        self._what = what
        self._consequence = consequence
        self._among = among or Outages()
        self._since: float | None = None
        self._said: type[Exception] | None = None
        self._last: type[Exception] | None = None

    @property
    def ongoing(self) -> bool:
        """Return whether it is lost now."""
        return self._since is not None

    def failed(self, error: Exception, *, advice: str = "") -> None:
        """Take note of a failed attempt; `advice` says what to do where the error alone does not tell."""
        kind, now = type(error), time.monotonic()
        begins = self._since is None
        self._since = now if self._since is None else self._since
        if isinstance(error, NotYetServed) and now - self._since < COMING_S:
            return
        persists = kind is self._last
        self._last = kind
        news = begins or (persists and kind is not self._said)
        if news and not (concerns_all(error) and self._among.logged(kind.__name__, by=self)):
            self._said = kind
            said = advice or _advice(error)
            logger.warning("%s is lost; %s. %s%s", self._what, self._consequence, error, f" ({said})" if said else "")

    def healed(self) -> None:
        """Take note of a success."""
        if self._since is not None and self._said is not None:
            logger.info("%s is back after %.0f s", self._what, time.monotonic() - self._since)
        self._among.healed(self)
        self._since = self._said = self._last = None


def _advice(error: Exception) -> str:
    match error:
        case NotFound():
            return "apply virtwatch's crds/ and manifests/ if they are not there"
        case Forbidden():
            return "apply the RBAC of virtwatch's manifests/, or renew the token"
        case KubeError():
            return ""
        case _:
            return f"{type(error).__name__}, a defect: please report it"
