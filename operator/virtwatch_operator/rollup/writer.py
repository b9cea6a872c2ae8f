# Writes a policy's status when, and only when, it says something new.
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from virtwatch_api.nodemonitor import Applied, FiringAlert
from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.policy import PolicyKey
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, NotFound
from virtwatch_operator.conditions import Finding
from virtwatch_operator.fleet import Fleet
from virtwatch_operator.policies import PolicyBook, PolicyFacts, Seen, policy_path
from virtwatch_operator.rollup.aggregate import Rollup, roll_up
from virtwatch_operator.rollup.reports import Report
from virtwatch_operator.rollup.status import policy_status

MANAGER = "virtwatch-status"
_ACROSS = ""  # no node: what spans nodes, which this operator judges itself


@dataclass(frozen=True, slots=True)
class _Standing:
    """Hold the status that a policy has, as it was written here or seen since."""

    uid: str
    status: Json
    version: str  # the policy's resourceVersion with this status


class StatusWriter:
    """Write one policy's status at a time.

    `fleet_known` tells whether all NodeMonitors have been seen: until then a status would say that nobody reports.
    `more` returns further findings about a policy; it may raise KubeError. `across` returns its alerts that span nodes,
    `would_have_fired` how many it would have had in the last day if it did not only observe.
    """

    def __init__(
        self,
        *,
        client: KubeClient,
        book: PolicyBook,
        fleet: Fleet,
        fleet_known: Callable[[], bool],
        more: Callable[[PolicyFacts], tuple[Finding, ...]] = lambda _: (),
        across: Callable[[PolicyKey], tuple[FiringAlert, ...]] = lambda _: (),
        would_have_fired: Callable[[PolicyKey], int] = lambda _: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._book = book
        self._fleet = fleet
        self._fleet_known = fleet_known
        self._more = more
        self._across = across
        self._would_have_fired = would_have_fired
        self._clock = clock
        self._standing: dict[PolicyKey, _Standing] = {}
        self._waiting: set[PolicyKey] = set()
        self._lock = threading.Lock()

    def write(self, key: PolicyKey) -> None:
        """Bring a policy's status up to date.

        Raises:
            KubeError: it is still to be written.
        """
        facts = self._book.get(key)
        if facts is None:
            with self._lock:
                self._standing.pop(key, None)
                self._waiting.discard(key)
            return
        if not self._fleet_known():
            return
        previous = self._previous(facts)
        would = self._would_have_fired(key)
        observed = Applied(key, "", would_have_fired=would) if would else None
        reports = {**self._fleet.reports(key), _ACROSS: Report(observed, (), self._across(key))}
        rollup = roll_up(facts, self._fleet.presence, reports, read_up_to=self._fleet.read_up_to())
        self._note_waiting(key, rollup)
        rollup = replace(rollup, findings=(*rollup.findings, *self._more(facts)))
        status = policy_status(facts, rollup, generation=facts.generation, previous=previous.status, now=self._clock())
        if status == previous.status:
            self._stands(key, previous)
            return
        try:
            written = self._apply(facts, status)
            if written.get("status") != status:
                # Somebody else wrote on it too, which an apply leaves alone.
                written = self._replace(facts, written, status)
        except (NotFound, Conflict):
            return  # gone, or changed meanwhile, which is noticed
        self._stands(key, _Standing(facts.uid, status, written["metadata"]["resourceVersion"]))

    def waiting(self) -> Iterable[PolicyKey]:
        """Return the policies that some node has still to apply, as of their last write."""
        with self._lock:
            return tuple(self._waiting)

    def _note_waiting(self, key: PolicyKey, rollup: Rollup) -> None:
        distributed = next(item for item in rollup.findings if item.type == "Distributed")
        with self._lock:
            if distributed.status:
                self._waiting.discard(key)
            else:
                self._waiting.add(key)

    def noticed(self, key: PolicyKey, seen: Seen) -> bool:
        """Take note of the status that a watch saw; return whether it is not the one that should stand."""
        with self._lock:
            standing = self._standing.get(key)
            if (
                standing is not None
                and standing.uid == seen.uid
                and (standing.status == seen.status or not _later(seen.version, standing.version))
            ):
                return False
            self._standing[key] = _Standing(seen.uid, seen.status, seen.version)
            return True

    def _previous(self, facts: PolicyFacts) -> _Standing:
        with self._lock:
            standing = self._standing.get(facts.key)
        if standing is None or standing.uid != facts.uid or _later(facts.read_at, standing.version):
            return _Standing(facts.uid, facts.status, facts.read_at)
        return standing

    def _stands(self, key: PolicyKey, standing: _Standing) -> None:
        with self._lock:
            self._standing[key] = standing

    def _apply(self, facts: PolicyFacts, status: Json) -> Json:
        key = facts.key
        namespace = {"namespace": key.namespace} if key.namespace else {}
        body = {
            "apiVersion": API_VERSION,
            "kind": key.kind.value,
            # The uid keeps a status from a policy that was made again under the same name.
            "metadata": {"name": key.name, **namespace, "uid": facts.uid},
            "status": status,
        }
        return self._client.apply(policy_path(key, subresource="status"), body, manager=MANAGER)

    def _replace(self, facts: PolicyFacts, document: Json, status: Json) -> Json:
        path = policy_path(facts.key, subresource="status")
        return self._client.replace(path, {**document, "status": status}, manager=MANAGER)


def _later(version: str, than: str) -> bool:
    """Return whether a resourceVersion is later than another, or cannot be compared with it."""
    return not (version.isdecimal() and than.isdecimal()) or int(version) > int(than)
