import logging
import time

from virtwatch_kube.errors import Forbidden, KubeError, NotFound

logger = logging.getLogger(__name__)


class Outage:
    """Log one line when `what` is lost and one when it is back, however often it is tried in between.

    A failure of another kind is worth a line too once it has come twice in a row: an API server that starts answers
    this and that for a moment.
    """

    def __init__(self, what: str, *, consequence: str) -> None:
        self._what = what
        self._consequence = consequence
        self._since: float | None = None
        self._said: type[Exception] | None = None
        self._last: type[Exception] | None = None

    @property
    def ongoing(self) -> bool:
        """Tell whether it is lost now."""
        return self._since is not None

    def failed(self, error: Exception, *, advice: str = "") -> None:
        """Take note of a failed attempt; `advice` says what to do where the error alone does not tell."""
        kind = type(error)
        if self._since is None:
            self._since = time.monotonic()
        persists = kind is self._last
        self._last = kind
        if self._said is None or (persists and kind is not self._said):
            self._said = kind
            said = advice or _advice(error)
            logger.warning("%s is lost; %s. %s%s", self._what, self._consequence, error, f" ({said})" if said else "")

    def healed(self) -> None:
        """Take note of a success."""
        if self._since is not None:
            logger.info("%s is back after %.0f s", self._what, time.monotonic() - self._since)
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
