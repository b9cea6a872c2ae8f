# Posts one Event within its object's budget. What will never succeed is not tried again; what may, raises.
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from virtwatch_api.policy import Severity
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, Forbidden, Invalid, KubeError, NotFound
from virtwatch_kube.outage import concerns_all
from virtwatch_kube.paths import EVENTS, resource
from virtwatch_operator.events.bodies import Announcement
from virtwatch_operator.events.budget import Budget
from virtwatch_operator.events.promises import Promises
from virtwatch_operator.events.withheld import Withheld

logger = logging.getLogger(__name__)

MANAGER = "virtwatch-events"
# A quota, a webhook or a policy of the namespace's own says no: that must not hold up the node's other namespaces. A
# missing right is another thing: it concerns everything, is the installation's mistake and gets mended.
_DENIALS = ("exceeded quota", "denied the request", "denied request")
# What a namespace refuses for so long is counted as withheld, so that it holds up no acknowledgement for good.
REFUSED_S = 60.0
_PROBE_S = 10.0  # after that, one Event tries whether the namespace takes Events again


class Outcome(StrEnum):
    """Say what became of an Event."""

    CREATED = "created"
    ALREADY_ANNOUNCED = "already_told"
    WITHHELD = "withheld"
    NOWHERE = "nowhere"  # its namespace is gone, and with it whoever would read it
    REFUSED = "refused"
    GIVEN_UP = "given_up"  # its namespace has failed to take Events for REFUSED_S; counted as withheld


@dataclass(slots=True)
class _Refusal:
    since: float
    tried: float


class Recorder:
    """Create Events. Safe to use from several threads."""

    def __init__(
        self,
        *,
        client: KubeClient,
        burst: int,
        count: Callable[[Outcome], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._count = count
        self._clock = clock
        self._budget = Budget(burst=burst)
        self._withheld = Withheld(burst=burst)
        self._promises = Promises()
        self._refusals: dict[str, _Refusal] = {}  # by namespace
        self._lock = threading.Lock()

    def post(self, announcement: Announcement, *, at: float, stands: bool = False) -> Outcome:
        """Create an Event about what happened `at` seconds since 1970, unless it is there or its object had too many.

        One that `stands` is written again, because it counts on; that takes nothing from a budget.

        Raises:
            KubeError: it was not created and should be tried again.
        """
        outcome = self._post(announcement, at, stands=stands)
        self._count(outcome)
        return outcome

    def announce_withheld(self, budget: str = "") -> None:
        """Write the counts of withheld Events that are due: of one budget, or of all.

        Raises:
            KubeError: some were not written and stay due; the others were.
        """
        with self._lock:
            due = self._withheld.due(now=self._clock())
        failure: KubeError | None = None
        for announcement, count in due:
            if budget in ("", announcement.budget):
                try:
                    self._announce_withheld(announcement, count)
                except KubeError as error:
                    failure = error
        if failure is not None:
            raise failure

    def remind(self, announcement: Announcement) -> None:
        """Write an Event that counts on, or make it again where the API server has forgotten it.

        Raises:
            KubeError: it was not written and should be tried again.
        """
        path = resource(EVENTS, "events", namespace=announcement.namespace, name=announcement.name)
        try:
            self._client.apply(path, announcement.body, manager=MANAGER)
        except KubeError as error:
            if _hopeless(announcement, error) is None:
                raise

    def _announce_withheld(self, announcement: Announcement, count: int) -> None:
        self.remind(announcement)
        with self._lock:
            self._withheld.announced(announcement.budget, count, now=self._clock())

    def promise(self, announced: Iterable[tuple[str, Severity | None]]) -> None:
        """Note alerts that an Event about several told, each with its severity: their ends are reported, too."""
        with self._lock:
            for alert, severity in announced:
                self._promises.announced(alert, severity, now=self._clock())

    def _post(self, announcement: Announcement, at: float, *, stands: bool) -> Outcome:
        with self._lock:
            if self._given_up(announcement.namespace, now=self._clock()):
                self._withheld.add(announcement, at=at, now=self._clock())
                return Outcome.GIVEN_UP
            spent = not stands and self._budget.spend(announcement.budget, now=self._clock())
            if not (spent or stands or self._owes(announcement)):
                self._withheld.add(announcement, at=at, now=self._clock())
                return Outcome.WITHHELD
        try:
            self._write(announcement, stands=stands)
        except KubeError as error:
            outcome = _hopeless(announcement, error)
            if outcome is not Outcome.REFUSED:  # each of which is worth a line in the log
                with self._lock:
                    if spent:
                        self._budget.refund(announcement.budget, now=self._clock())
            if outcome is not None:  # one that is refused is not owed again either
                self._note(announcement)
            if outcome is None:
                if not self._refused_for_long(announcement, error, at=at):
                    raise
                return Outcome.GIVEN_UP
            self._takes_events(announcement.namespace)
            return outcome
        self._takes_events(announcement.namespace)
        self._note(announcement)
        return Outcome.CREATED

    def _write(self, announcement: Announcement, *, stands: bool) -> None:
        if stands:
            path = resource(EVENTS, "events", namespace=announcement.namespace, name=announcement.name)
            self._client.apply(path, announcement.body, manager=MANAGER)
        else:
            self._client.create(resource(EVENTS, "events", namespace=announcement.namespace), announcement.body)

    def _owes(self, announcement: Announcement) -> bool:
        alert = announcement.alert
        return bool(alert) and self._promises.owes(alert, announcement.severity, now=self._clock())

    def _note(self, announcement: Announcement) -> None:
        if announcement.alert:
            with self._lock:
                self._promises.announced(announcement.alert, announcement.severity, now=self._clock())

    def _given_up(self, namespace: str, *, now: float) -> bool:
        refusal = self._refusals.get(namespace)
        return refusal is not None and now - refusal.since >= REFUSED_S and now - refusal.tried < _PROBE_S

    def _refused_for_long(self, announcement: Announcement, error: KubeError, *, at: float) -> bool:
        """Note that a namespace did not take an Event; True when that lasts, and the Event was counted as withheld."""
        if concerns_all(error):
            return False
        now, namespace = self._clock(), announcement.namespace
        with self._lock:
            refusal = self._refusals.setdefault(namespace, _Refusal(now, now))
            refusal.tried = now
            if now - refusal.since < REFUSED_S:
                return False
            self._withheld.add(announcement, at=at, now=now)
        logger.error("Namespace %s takes no Events; they are counted as withheld until it does: %s", namespace, error)
        return True

    def _takes_events(self, namespace: str) -> None:
        with self._lock:
            self._refusals.pop(namespace, None)


def _hopeless(announcement: Announcement, error: KubeError) -> Outcome | None:
    """Name the outcome of a failure that will stay, None for one that may pass."""
    match error:
        case Conflict(reason="AlreadyExists"):
            return Outcome.ALREADY_ANNOUNCED
        case NotFound():
            return Outcome.NOWHERE
        case Forbidden() if "is being terminated" in str(error):
            return Outcome.NOWHERE
        case Forbidden() if not any(denial in str(error) for denial in _DENIALS):
            return None
        case Invalid() | Forbidden():
            logger.error("The Event %s about %s is lost: %s", announcement.name, announcement.regarding, error)
            return Outcome.REFUSED
        case _:
            return None
