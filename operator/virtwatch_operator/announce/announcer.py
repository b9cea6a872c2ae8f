"""From an agent's transitions to news, once."""

# Takes one node's unacknowledged transitions in order: each is handed to all sinks, then acknowledged. Whoever dies in
# between is followed by one who hands the same news to sinks that know it again.
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from virtwatch_api.nodemonitor import Acknowledged, NodeMonitor, Transition
from virtwatch_api.nodemonitor_codec import encode_acknowledged
from virtwatch_api.policy import PolicyKey
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, NotFound
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.announce.continuity import Continuity
from virtwatch_operator.announce.sinks import TURN_S, Handed, News, Origin
from virtwatch_operator.nodes.trust import Doubts, Trust
from virtwatch_telemetry.traceparent import parent

MANAGER = "virtwatch-acknowledge"

# In a storm an acknowledgement is one write for many transitions: each makes the API server merge a whole NodeMonitor.
# An agent whose list is full waits for it.
_ACKNOWLEDGE_EVERY_S = 5.0
_ACKNOWLEDGE_FULL_EVERY_S = 1.0
# An acknowledgement that is not there after this time was written over: an agent whose list is full waits for it.
_REPAIR_AFTER_S = 5.0
# Of what waits, so many are looked at however long that takes: sinks see that they are many, and tell them as one.
_AT_LEAST = 8

# Hands news to all sinks, which call back once each has taken it.
Hand = Callable[[Sequence[Handed]], None]


@dataclass(slots=True)
class _Decided:
    """Hold a transition that was looked at; `taken` once all sinks have it, or it is no news."""

    sequence: int
    span: Span
    taken: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Journal:
    """Hold up to where one node's journal was looked at here, and what of that is not acknowledged yet."""

    uid: str
    epoch: str
    sequence: int = 0
    decided: deque[_Decided] = field(default_factory=deque)
    acknowledged: int = 0  # up to where this leader acknowledged it
    acknowledged_at: float = float("-inf")

    def taken(self) -> Sequence[_Decided]:
        """Return the first ones, up to one that a sink has not taken."""
        found = []
        for item in self.decided:
            if not item.taken.is_set():
                break
            found.append(item)
        return found


class Announcer:
    """Announce one node's transitions at a time."""

    def __init__(
        self,
        *,
        client: KubeClient,
        hand: Hand,
        continuity: Continuity,
        trust: Trust,
        monitor_of: Callable[[str], NodeMonitor | None],
        policy_uid: Callable[[PolicyKey], str],
        again: Callable[[str], None],
        tracer: Tracer,
        instance: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._clock = clock
        self._hand = hand
        self._continuity = continuity
        self._trust = trust
        self._doubts = Doubts()
        self._monitor_of = monitor_of
        self._policy_uid = policy_uid
        self._again = again
        self._tracer = tracer
        self._instance = instance
        self._journals: dict[str, _Journal] = {}

    def announce(self, node: str) -> None:
        """Hand out what the node's agent waits for, and acknowledge what all sinks have taken.

        Raises:
            KubeError: the rest is to be tried again.
        """
        monitor = self._monitor_of(node)
        if monitor is None or monitor.status is None:
            self._journals.pop(node, None)
            return
        journal = self._journal(monitor, monitor.status.epoch)
        try:
            self._decide_all(monitor, journal)
        finally:
            if (taken := journal.taken()) and self._is_time(monitor, journal, taken):
                self._acknowledge(monitor, journal, taken)
            elif any(item.sequence <= journal.acknowledged for item in monitor.unacknowledged):
                self._repair(monitor, journal)
        if monitor.handovers:
            self._continuity.settle(monitor)

    def _decide_all(self, monitor: NodeMonitor, journal: _Journal) -> None:
        """Look at what was not looked at yet, and hand out what is news of it, all at once."""
        end, looked = self._clock() + TURN_S, 0
        news: list[Handed] = []
        try:
            for transition in monitor.unacknowledged:
                if transition.sequence <= journal.sequence:
                    continue
                if looked >= _AT_LEAST and self._clock() > end:
                    self._again(monitor.node)
                    break
                news += self._decide(monitor, journal, transition)
                looked += 1
        finally:
            if news:
                self._hand(news)

    def _is_time(self, monitor: NodeMonitor, journal: _Journal, taken: Sequence[_Decided]) -> bool:
        """Return whether to acknowledge what was taken now, or to wait for the rest of it."""
        now, full = self._clock(), monitor.status is not None and monitor.status.waiting > 0
        every = _ACKNOWLEDGE_FULL_EVERY_S if full else _ACKNOWLEDGE_EVERY_S
        if len(taken) < len(journal.decided) and now - journal.acknowledged_at < every:
            self._again(monitor.node)
            return False
        journal.acknowledged_at = now
        return True

    def _repair(self, monitor: NodeMonitor, journal: _Journal) -> None:
        """Acknowledge once more what a NodeMonitor does not show as acknowledged, unless its watch may just be late."""
        if self._clock() - journal.acknowledged_at < _REPAIR_AFTER_S:
            self._again(monitor.node)
            return
        journal.acknowledged_at = self._clock()
        self._write(monitor, journal)

    def _journal(self, monitor: NodeMonitor, epoch: str) -> _Journal:
        journal = self._journals.get(monitor.node)
        if journal is None or (journal.uid, journal.epoch) != (monitor.uid, epoch):
            journal = self._journals[monitor.node] = _Journal(monitor.uid, epoch)
        return journal

    def _decide(self, monitor: NodeMonitor, journal: _Journal, transition: Transition) -> list[Handed]:
        """Return a transition if it is news; the acknowledgement ends its span."""
        attributes = {
            "virtwatch.alert.id": transition.alert.id,
            "virtwatch.policy": str(transition.alert.policy),
            "virtwatch.rule": transition.alert.rule,
            "virtwatch.transition.action": transition.action.value,
            "virtwatch.journal.sequence": transition.sequence,
            "k8s.node.name": monitor.node,
        }
        span = self._tracer.start_span("announce", context=parent(transition.traceparent), attributes=attributes)
        try:
            doubt = self._trust.doubt_now(monitor.node, transition)
            said = None if doubt else self._continuity.to_announce(monitor, transition)
            span.set_attribute("virtwatch.alert.continues", said is None)
            uid = self._policy_uid(transition.alert.policy)
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR, str(error)))
            span.end()
            raise
        if doubt:
            span.set_attribute("virtwatch.transition.doubt", doubt)
            self._doubts.note(monitor.node, transition.alert, doubt)
        decided = _Decided(transition.sequence, span)
        journal.decided.append(decided)
        journal.sequence = transition.sequence
        if said is None:
            decided.taken.set()
            return []
        origin = Origin(monitor.node, journal.epoch, uid, self._instance)
        return [Handed(News(said, origin, set_span_in_context(span)), partial(self._taken, monitor.node, decided))]

    def _taken(self, node: str, decided: _Decided) -> None:
        decided.taken.set()
        self._again(node)

    def _acknowledge(self, monitor: NodeMonitor, journal: _Journal, taken: Sequence[_Decided]) -> None:
        children = [self._tracer.start_span("acknowledge", context=set_span_in_context(item.span)) for item in taken]
        journal.acknowledged = taken[-1].sequence
        try:
            self._write(monitor, journal)
        finally:
            for child in children:
                child.end()
        for item in taken:
            journal.decided.popleft()
            item.span.end()

    def _write(self, monitor: NodeMonitor, journal: _Journal) -> None:
        body = {
            "apiVersion": API_VERSION,
            "kind": "NodeMonitor",
            # The uid keeps this from making a NodeMonitor again whose Node is gone.
            "metadata": {"name": monitor.node, "uid": monitor.uid},
            "spec": {"acknowledged": encode_acknowledged(Acknowledged(journal.epoch, journal.acknowledged))},
        }
        try:
            self._client.apply(virtwatch("nodemonitors", name=monitor.node), body, manager=MANAGER)
        except (NotFound, Conflict):
            # The node is gone, or its NodeMonitor was made again and will be reported again.
            self._journals.pop(monitor.node, None)
