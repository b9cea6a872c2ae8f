"""Writes the node's status to its NodeMonitor.

The newest only, no more often than need be, on a thread of its own.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from opentelemetry.trace import Tracer

from virtwatch_agent.kubernetes.pace import Pace
from virtwatch_agent.kubernetes.spans import ReportSpans
from virtwatch_api.nodemonitor import NodeStatus
from virtwatch_api.nodemonitor_codec import encode_status
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube import paths
from virtwatch_kube.client import Json, KubeClient
from virtwatch_kube.errors import KubeError, NotFound, NotServed
from virtwatch_kube.outage import Outage
from virtwatch_process.outages import Outages

MANAGER = "virtwatch-agent"  # the field manager: one name for all agents, so that an upgrade keeps its fields
STOP_DEADLINE_S = 2.0
FIRST_START_S = 30.0
_UNDECLARED = "field not declared in schema"


class NodeMonitorReporter:
    """Publish this node's status by server-side apply to its NodeMonitor, which the operator creates."""

    def __init__(
        self,
        *,
        client: KubeClient,
        node: str,
        tracer: Tracer,
        outages: Outages | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` returns monotonic seconds."""
        self._client = client
        self._node = node
        self._clock = clock
        self._path = paths.virtwatch("nodemonitors", name=node, subresource="status")
        self._outage = Outage(
            f"The report to NodeMonitor {node}", consequence="transitions wait in the journal", among=outages
        )
        self._begun = clock()
        self._spans = ReportSpans(tracer, node=node)
        self._pace = Pace()
        self._wake = threading.Condition()
        self._newest: NodeStatus | None = None
        self._written: NodeStatus | None = None
        self._refreshes = 0
        self._newest_fields = True
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def start(self) -> None:
        """Begin to write; return at once."""
        self._thread.start()

    def publish(self, status: NodeStatus) -> None:
        """Take the newest status; never block."""
        with self._wake:
            self._spans.published(status)
            self._newest = status
            self._wake.notify()

    def refresh(self) -> None:
        """Write at once though nothing changed: the NodeMonitor is new and knows nothing."""
        with self._wake:
            self._refreshes += 1
            self._written = None
            self._pace.hurry(self._clock())
            self._wake.notify()

    def stop(self) -> None:
        """Write what is not written yet and end, within 2 s."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(STOP_DEADLINE_S)

    def _run(self) -> None:
        while (status := self._due()) is not None:
            self._write(status)
        with self._wake:
            last = self._newest if self._changed() else None
        if last is not None:
            self._write(last)

    def _due(self) -> NodeStatus | None:
        """Wait until a write is due and return what to write; None when it is time to end."""
        with self._wake:
            while not self._stopping:
                wait = self._wait() if self._newest is not None else None
                if wait == 0:
                    return self._newest
                self._wake.wait(wait)
            return None

    def _wait(self) -> float:
        """Return the seconds until a write is due: transitions are urgent, how things stand is not in a storm."""
        return self._pace.wait(self._clock(), changed=self._changed(), urgent=self._urgent())

    def _urgent(self) -> bool:
        return self._newest is not None and (self._written is None or _fresh(self._newest, self._written))

    def _changed(self) -> bool:
        if self._newest is None or self._written is None:
            return self._newest is not None
        return _news(self._newest, self._written)

    def _write(self, status: NodeStatus) -> None:
        refreshes = self._refreshes
        urgent = self._written is None or _fresh(status, self._written)
        try:
            self._apply(status)
        except KubeError as error:
            self._pace.failed(self._clock(), retry_after=error.retry_after)
            if not self._is_early(error):
                self._outage.failed(error, advice=_advice(error))
            return
        except Exception as error:  # noqa: BLE001 - the loop's edge: one bad status must not end all reports
            self._pace.failed(self._clock(), retry_after=None)
            self._outage.failed(error)
            return
        self._outage.healed()
        with self._wake:
            self._pace.wrote(self._clock(), urgent=urgent)
            self._spans.wrote(status)
            if refreshes == self._refreshes:
                self._written = status

    def _apply(self, status: NodeStatus) -> None:
        try:
            self._client.apply(self._path, self._document(status), manager=MANAGER)
        except KubeError as error:
            if not self._newest_fields or _UNDECLARED not in str(error):
                raise
            self._newest_fields = (
                False  # the CRD is older than this agent: better a report without what was added last than none
            )
            self._client.apply(self._path, self._document(status), manager=MANAGER)

    def _is_early(self, error: KubeError) -> bool:
        """Return whether the operator may just not have made the NodeMonitor yet: so each first start begins."""
        missing = isinstance(error, NotFound) and not isinstance(error, NotServed)
        return missing and self._written is None and self._clock() - self._begun < FIRST_START_S

    def _document(self, status: NodeStatus) -> Json:
        return {
            "apiVersion": API_VERSION,
            "kind": "NodeMonitor",
            "metadata": {"name": self._node},
            "status": encode_status(status, newest=self._newest_fields),
        }


def _news(status: NodeStatus, written: NodeStatus) -> bool:
    """Return whether a status says what the written one did not.

    That acknowledged transitions left the list is no news: who acknowledged them knows, and each second transition
    would wait for that write.
    """
    return _fresh(status, written) or _meaning(status) != _meaning(written)


def _fresh(status: NodeStatus, written: NodeStatus) -> bool:
    return any(item not in written.transitions for item in status.transitions)


def _meaning(status: NodeStatus) -> NodeStatus:
    """Leave out what always changes and is no news: the agent's cost and the time of the report; and transitions."""
    agent = replace(status.agent, cpu=0.0, memory=0.0, samples=0, errors=0, reported=0.0)
    return replace(status, transitions=(), agent=agent)


def _advice(error: KubeError) -> str:
    if isinstance(error, NotFound) and not isinstance(error, NotServed):
        return "the operator creates it: see that virtwatch-operator runs"
    return ""
