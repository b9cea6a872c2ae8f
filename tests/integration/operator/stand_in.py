# Stands in an agent's place: a journal in memory, its status written as an agent writes it.
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import replace

from virtwatch_api.alert import Action, AlertKey, Reason
from virtwatch_api.nodemonitor import (
    MAX_TRANSITIONS,
    Adopted,
    AgentHealth,
    Applied,
    Counts,
    Evidence,
    FiringAlert,
    NodeStatus,
    Transition,
)
from virtwatch_api.nodemonitor_codec import Json, encode_status
from virtwatch_api.policy import PolicyKey, Severity
from virtwatch_api.targets import Subject
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import KubeError
from virtwatch_kube.paths import virtwatch

POLL_S = 0.05
EVIDENCE = Evidence("vm.cpu.delay.ratio", 0.12, 0.1, "vm.cpu.delay.ratio (Avg over 300s) is 0.12, above 0.1")


def begun(now: float) -> float:
    """Return since when the alerts of an agent that is made `now` fire. An agent that is made later gets a later time.

    No storm begins in one minute and ends in the next: it would count as two.
    """
    late = now // 60 * 60 + 55
    return min(now, late + (now - late) / 10)


class StandIn:
    """Report as the agent of one node; `live()` keeps the journal going by itself until `rest()`."""

    def __init__(self, client: KubeClient, node: str, subject: Subject) -> None:
        self.node = node
        self.subject = replace(subject, node=node)
        self.epoch = uuid.uuid4().hex
        self.journal: list[Transition] = []
        self.acknowledged = 0
        self.applied: tuple[Applied, ...] = ()
        self.firing: tuple[FiringAlert, ...] = ()
        self.adopted: tuple[Adopted, ...] = ()
        self.reported = 0.0  # a report that says nothing new leaves its trace by this
        self._client = client
        self._resting = threading.Event()
        self._left = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._begun = begun(time.time())

    def happen(
        self, policy: PolicyKey, action: Action = Action.FIRED, *, severity: Severity | None = Severity.CRITICAL
    ):
        """Append one transition to the journal."""
        with self._lock:
            sequence = len(self.journal) + 1
            item = Transition(
                sequence=sequence,
                alert=AlertKey(policy, "cpu-starved", self.subject.target),
                action=action,
                reason=Reason.RECOVERED if action is Action.RESOLVED else Reason.BREACH,
                severity=severity,
                previous=Severity.CRITICAL if action is Action.RESOLVED else None,
                at=round(self._begun + sequence / 1000, 3),  # no two alike, so that Events can be told apart
                since=self._begun,
                subject=self.subject,
                evidence=EVIDENCE,
                traceparent=f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01",
            )
            self.journal.append(item)
        return item

    def fires(self, policy: PolicyKey, severity: Severity = Severity.CRITICAL) -> FiringAlert:
        """Let one alert fire."""
        key = AlertKey(policy, "cpu-starved", self.subject.target)
        item = FiringAlert(key, severity, self._begun, self.subject, EVIDENCE, f"00-{'a' * 32}-{'b' * 16}-01")
        self.firing = (*self.firing, item)
        return item

    def applies(self, policy: PolicyKey, hash_: str, *, rejected: str = "") -> None:
        """Apply, or reject, a ThresholdSet."""
        counts = Counts(
            warning=sum(item.severity is Severity.WARNING for item in self.firing),
            critical=sum(item.severity is Severity.CRITICAL for item in self.firing),
        )
        others = tuple(item for item in self.applied if item.policy != policy)
        self.applied = (
            *others,
            Applied(policy, hash_, virtual_machines=1, counts=counts, rejected=rejected, targets=1),
        )

    def lose_its_state(self) -> None:
        """Start a new journal, as after the loss of the state folder."""
        self.epoch, self.journal, self.acknowledged = uuid.uuid4().hex, [], 0

    def publish(self) -> None:
        """Write the status."""
        waiting = self.waiting()
        status = NodeStatus(
            epoch=self.epoch,
            sequence=len(self.journal),
            transitions=waiting[:MAX_TRANSITIONS],
            waiting=max(len(waiting) - MAX_TRANSITIONS, 0),
            firing=self.firing,
            counts=Counts(),
            applied=self.applied,
            virtual_machines=1,
            agent=AgentHealth("test", self._begun, 0.0, 0.0, 0, 0, reported=self.reported),
            conditions=(),
            adopted=self.adopted,
        )
        body = {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": "NodeMonitor",
            "metadata": {"name": self.node},
            "status": encode_status(status),
        }
        path = virtwatch("nodemonitors", name=self.node, subresource="status")
        self._client.apply(path, body, manager="virtwatch-agent")

    def hear(self) -> bool:
        """Drop what was acknowledged; tell whether that was anything new."""
        return self.note(self._client.get(virtwatch("nodemonitors", name=self.node)))

    def note(self, document: Json) -> bool:
        """Drop what a NodeMonitor says was acknowledged; tell whether that was anything new."""
        acknowledged = (document.get("spec") or {}).get("acknowledged") or {}
        if acknowledged.get("epoch") != self.epoch or acknowledged["sequence"] <= self.acknowledged:
            return False
        self.acknowledged = acknowledged["sequence"]
        return True

    def settled(self) -> bool:
        """Drop what was acknowledged; tell whether that is everything: a part of it may be acknowledged first."""
        self.hear()
        return not self.waiting()

    def waiting(self) -> tuple[Transition, ...]:
        """Return what is not acknowledged."""
        with self._lock:
            return tuple(self.journal[self.acknowledged :])

    def live(self, policies: Iterable[PolicyKey]) -> None:
        """Keep the list of transitions full, whatever becomes of the API server."""
        self._resting.clear()
        self._thread = threading.Thread(target=self._live, args=(list(policies),), daemon=True)
        self._thread.start()

    def rest(self) -> None:
        """Let nothing more happen; go on until all is acknowledged."""
        self._resting.set()

    def leave(self) -> None:
        """End at once."""
        self._resting.set()
        self._left.set()
        if self._thread is not None:
            self._thread.join()

    def done(self) -> bool:
        """Tell whether everything that happened is acknowledged."""
        return self._resting.is_set() and not self.waiting()

    def _live(self, policies: list[PolicyKey]) -> None:
        changed = True
        while not self.done() and not self._left.is_set():
            while not self._resting.is_set() and len(self.waiting()) < MAX_TRANSITIONS:
                self.happen(policies[len(self.journal) % len(policies)])
                changed = True
            try:
                if changed:
                    self.publish()
                    changed = False
                changed = self.hear() or changed
            except KubeError:
                changed = True
            time.sleep(POLL_S)
