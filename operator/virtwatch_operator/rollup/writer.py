# Writes a policy's status when, and only when, it says something new.
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.policy import PolicyKey
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, NotFound
from virtwatch_operator.fleet import Fleet
from virtwatch_operator.policies import PolicyBook, PolicyFacts, policy_path
from virtwatch_operator.rollup.aggregate import roll_up
from virtwatch_operator.rollup.status import policy_status

MANAGER = "virtwatch-status"


@dataclass(frozen=True, slots=True)
class _Written:
    uid: str
    status: Json


class StatusWriter:
    """Write one policy's status at a time.

    `fleet_known` tells whether all NodeMonitors have been heard of: until then a status would say that nobody reports.
    """

    def __init__(
        self,
        *,
        client: KubeClient,
        book: PolicyBook,
        fleet: Fleet,
        fleet_known: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._book = book
        self._fleet = fleet
        self._fleet_known = fleet_known
        self._clock = clock
        self._written: dict[PolicyKey, _Written] = {}
        self._lock = threading.Lock()

    def write(self, key: PolicyKey) -> None:
        """Bring a policy's status up to date.

        Raises:
            KubeError: it is still to be written.
        """
        facts = self._book.get(key)
        if facts is None:
            with self._lock:
                self._written.pop(key, None)
            return
        if not self._fleet_known():
            return
        previous = self._previous(facts)
        rollup = roll_up(facts, self._fleet.presence, self._fleet.reports(key))
        status = policy_status(rollup, generation=facts.generation, previous=previous, now=self._clock())
        if status == previous:
            return
        try:
            self._apply(facts, status)
        except (NotFound, Conflict):
            return  # gone, or made anew meanwhile, which is told again
        with self._lock:
            self._written[key] = _Written(facts.uid, status)

    def _previous(self, facts: PolicyFacts) -> Json:
        with self._lock:
            written = self._written.get(facts.key)
        return written.status if written is not None and written.uid == facts.uid else facts.status

    def _apply(self, facts: PolicyFacts, status: Json) -> None:
        key = facts.key
        namespace = {"namespace": key.namespace} if key.namespace else {}
        body = {
            "apiVersion": API_VERSION,
            "kind": key.kind.value,
            # The uid keeps a status from a policy that was made anew under the same name.
            "metadata": {"name": key.name, **namespace, "uid": facts.uid},
            "status": status,
        }
        self._client.apply(policy_path(key, subresource="status"), body, manager=MANAGER)
