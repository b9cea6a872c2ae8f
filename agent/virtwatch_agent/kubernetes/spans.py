"""The span of a report: from the publication of a transition to the write that first held it."""

import time

from opentelemetry.trace import Tracer

from virtwatch_api.nodemonitor import NodeStatus
from virtwatch_telemetry.traceparent import parent

NAME = "virtwatch.report"


class ReportSpans:
    """Emit, for each transition, the span from its publication to the write that first held it."""

    def __init__(self, tracer: Tracer, *, node: str) -> None:
        self._tracer = tracer
        self._node = node
        self._epoch = ""
        self._reported = 0  # sequence of the newest transition that was written
        self._published: dict[int, int] = {}  # sequence -> nanoseconds since 1970

    def published(self, status: NodeStatus) -> None:
        """Note when each transition was published first."""
        if status.epoch != self._epoch:
            self._epoch, self._reported, self._published = status.epoch, 0, {}
        now = time.time_ns()
        for transition in status.transitions:
            if transition.sequence > self._reported:
                self._published.setdefault(transition.sequence, now)

    def wrote(self, status: NodeStatus) -> None:
        """Emit the spans of what a write held for the first time."""
        if status.epoch != self._epoch:
            return
        now = time.time_ns()
        for transition in status.transitions:
            begun = self._published.pop(transition.sequence, None)
            if begun is None:
                continue
            self._reported = max(self._reported, transition.sequence)
            if transition.traceparent:
                span = self._tracer.start_span(
                    NAME,
                    context=parent(transition.traceparent),
                    start_time=begun,
                    attributes={"k8s.node.name": self._node, "virtwatch.transition.sequence": transition.sequence},
                )
                span.end(now)
