# Takes one node's unacknowledged transitions in order: Events first, then the acknowledgement. Whoever dies in between
# is followed by one who meets the same Events by the same names.
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from virtwatch_api.nodemonitor import Acknowledged, NodeMonitor, Transition
from virtwatch_api.nodemonitor_codec import encode_acknowledged
from virtwatch_api.policy import PolicyKey
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, NotFound
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.announce.continuity import Continuity
from virtwatch_operator.events.bodies import Origin, announcements
from virtwatch_operator.events.recorder import Outcome, Recorder
from virtwatch_telemetry.traceparent import parent

MANAGER = "virtwatch-acknowledge"
# After so many seconds a node goes to the end of the queue, so that a slow one shares the threads with the others.
TURN_S = 2.0


@dataclass(frozen=True, slots=True)
class _Done:
    """Hold up to where this process has acknowledged, which a watch hears of only later."""

    uid: str
    epoch: str
    sequence: int


class Announcer:
    """Announce one node's transitions at a time; `delayed` is told how many seconds each took since it happened."""

    def __init__(
        self,
        *,
        client: KubeClient,
        recorder: Recorder,
        continuity: Continuity,
        monitor_of: Callable[[str], NodeMonitor | None],
        policy_uid: Callable[[PolicyKey], str],
        again: Callable[[str], None],
        delayed: Callable[[float], None],
        tracer: Tracer,
        instance: str,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._continuity = continuity
        self._monitor_of = monitor_of
        self._policy_uid = policy_uid
        self._again = again
        self._delayed = delayed
        self._tracer = tracer
        self._instance = instance
        self._done: dict[str, _Done] = {}

    def announce(self, node: str) -> None:
        """Tell what the node's agent waits for, and acknowledge what was told.

        Raises:
            KubeError: the rest is to be tried again.
        """
        monitor = self._monitor_of(node)
        if monitor is None or monitor.status is None:
            self._done.pop(node, None)
            return
        told: list[tuple[Transition, Span]] = []
        end = time.monotonic() + TURN_S
        try:
            for transition in self._waiting(monitor):
                if time.monotonic() > end:
                    self._again(node)
                    break
                told.append((transition, self._tell(monitor, transition)))
        finally:
            if told:
                self._acknowledge(monitor, told)
        if monitor.handovers:
            self._continuity.settle(monitor)

    def _waiting(self, monitor: NodeMonitor) -> Sequence[Transition]:
        assert monitor.status is not None
        done = self._done.get(monitor.node)
        if done is None or (done.uid, done.epoch) != (monitor.uid, monitor.status.epoch):
            return monitor.unacknowledged
        return [item for item in monitor.unacknowledged if item.sequence > done.sequence]

    def _tell(self, monitor: NodeMonitor, transition: Transition) -> Span:
        """Post a transition's Events; return its span, which the acknowledgement ends."""
        assert monitor.status is not None
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
            said = self._continuity.to_tell(monitor, transition)
            span.set_attribute("virtwatch.alert.continues", said is None)
            uid = self._policy_uid(transition.alert.policy)
            origin = Origin(monitor.node, monitor.status.epoch, uid, self._instance)
            for announcement in announcements(said, origin) if said is not None else ():
                with self._tracer.start_as_current_span("event", context=set_span_in_context(span)) as child:
                    outcome = self._recorder.post(announcement, at=transition.at)
                    child.set_attributes(
                        {"k8s.event.name": announcement.name, "virtwatch.event.outcome": outcome.value}
                    )
                if outcome is Outcome.WITHHELD:
                    # The first one's summary stands before its transition is acknowledged and forgotten.
                    self._recorder.tell_withheld(announcement.regarding)
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR, str(error)))
            span.end()
            raise
        self._delayed(max(time.time() - transition.at, 0.0))
        return span

    def _acknowledge(self, monitor: NodeMonitor, told: Sequence[tuple[Transition, Span]]) -> None:
        assert monitor.status is not None
        done = _Done(monitor.uid, monitor.status.epoch, told[-1][0].sequence)
        body = {
            "apiVersion": API_VERSION,
            "kind": "NodeMonitor",
            # The uid keeps this from making a NodeMonitor anew whose Node is gone.
            "metadata": {"name": monitor.node, "uid": monitor.uid},
            "spec": {"acknowledged": encode_acknowledged(Acknowledged(done.epoch, done.sequence))},
        }
        children = [self._tracer.start_span("acknowledge", context=set_span_in_context(span)) for _, span in told]
        try:
            self._client.apply(virtwatch("nodemonitors", name=monitor.node), body, manager=MANAGER)
            self._done[monitor.node] = done
        except (NotFound, Conflict):
            pass  # the node is gone, or its NodeMonitor was made anew and will be told again
        finally:
            for child, (_, span) in zip(children, told, strict=True):
                child.end()
                span.end()
