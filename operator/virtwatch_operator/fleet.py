# All NodeMonitors as last heard: decoded once, indexed by policy, with who has fallen silent.
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from virtwatch_api.alert import AlertKey
from virtwatch_api.nodemonitor import FiringAlert, NodeMonitor
from virtwatch_api.nodemonitor_codec import Json, decode_nodemonitor
from virtwatch_api.policy import PolicyKey
from virtwatch_api.policy_codec import timestamp
from virtwatch_operator.nodes.trust import Trust, cleaned
from virtwatch_operator.rollup.reports import Presence, Report

logger = logging.getLogger(__name__)

# An agent writes its whole status at least every 5 min (with jitter up to 6); three of these missed is silence.
SILENT_AFTER_S = 1080.0
_LOOK_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class _Latest:
    monitor: NodeMonitor | None  # None: what it says cannot be read
    at: float  # seconds since 1970 of the agent's last write
    reports: Mapping[PolicyKey, Report]


@dataclass(frozen=True, slots=True)
class LastWord:
    """Hold what a node said last of each policy, and when, in seconds since 1970."""

    at: float
    reports: Mapping[PolicyKey, Report]


class Fleet:
    """Hold the fleet's reports. Safe to use from several threads.

    `waiting` is called with a node that has transitions to acknowledge or handovers to drop, `reported` with a policy
    of which a node says something new, `presence_changed` when nodes begin to report or fall silent. `down` reports a
    node whose agent does not run; `read_on` is called when a node has read more ThresholdSets.
    """

    def __init__(
        self,
        *,
        trust: Trust,
        waiting: Callable[[str], None],
        reported: Callable[[PolicyKey], None],
        presence_changed: Callable[[], None],
        down: Callable[[str], bool],
        read_on: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._trust = trust
        self._waiting = waiting
        self._reported = reported
        self._presence_changed = presence_changed
        self._down = down
        self._read_on = read_on
        self._clock = clock
        self._nodes: dict[str, _Latest] = {}
        self._by_policy: dict[PolicyKey, dict[str, Report]] = {}
        self._places: dict[AlertKey, set[str]] = {}  # the nodes that say something of an alert
        self._settling: set[str] = set()  # nodes that have taken a handover which they still hold
        self._lock = threading.Lock()
        self._presence = self._noticed = Presence()
        self._looked = float("-inf")

    def on_change(self, old: Json | None, new: Json | None) -> None:
        """Take note of a NodeMonitor that came, went or changed."""
        document = new or old
        assert document is not None
        node = document["metadata"]["name"]
        fresh = None if new is None else self._read(node, new)
        with self._lock:
            silent = self._presence.silent
            before = self._nodes.pop(node, None)
            if fresh is not None:
                self._nodes[node] = fresh
            touched = self._index(node, before, fresh)
            self._place(node, before, fresh)
            if (before is not None and _speaks(before)) != (fresh is not None and _speaks(fresh)) or node in silent:
                self._looked = float("-inf")
        for policy in touched:
            self._reported(policy)
        if _read_up_to(fresh) > _read_up_to(before):
            self._read_on()
        for waiting in self._who_waits(node, before, fresh):
            self._waiting(waiting)

    def _who_waits(self, node: str, before: _Latest | None, fresh: _Latest | None) -> set[str]:
        old, new = (latest.monitor if latest is not None else None for latest in (before, fresh))
        with self._lock:
            self._settling.discard(node)
            if new is not None and new.settled:
                self._settling.add(node)
            # What was handed over is held until its sender's transition is acknowledged, or nobody sends it again.
            acknowledged = new is None or old is None or new.acknowledged != old.acknowledged
            waiting = set(self._settling) if acknowledged else self._settling & {node}
        return waiting | ({node} if new is not None and new.unacknowledged else set())

    def waiting(self) -> list[str]:
        """Return the nodes that have transitions to acknowledge or handovers to drop."""
        with self._lock:
            latest = [(node, item.monitor) for node, item in self._nodes.items()]
        return [node for node, monitor in latest if monitor is not None and (monitor.unacknowledged or monitor.settled)]

    def monitor(self, node: str) -> NodeMonitor | None:
        """Return a node's NodeMonitor; None where there is none or it cannot be read."""
        with self._lock:
            latest = self._nodes.get(node)
        return latest.monitor if latest else None

    def last_word(self, node: str) -> LastWord | None:
        """Return what a node said last; None where it has said nothing."""
        with self._lock:
            latest = self._nodes.get(node)
        if latest is None or not _speaks(latest):
            return None
        return LastWord(latest.at, {key: self._believed(node, report) for key, report in latest.reports.items()})

    def labels(self, node: str) -> Mapping[str, str]:
        """Return the labels of a node that policies select by, as far as its NodeMonitor has them."""
        monitor = self.monitor(node)
        return monitor.labels if monitor is not None else {}

    def known(self, node: str) -> bool:
        """Return whether a node has a NodeMonitor."""
        with self._lock:
            return node in self._nodes

    def knowing(self, alert: AlertKey) -> list[NodeMonitor]:
        """Return the nodes that may say of an alert that it fires there, or is on its way from or to there."""
        return [self._trust.believed(monitor) for monitor in self.naming(alert)]

    def naming(self, alert: AlertKey) -> list[NodeMonitor]:
        """Return the nodes that say so, whether they may or not."""
        with self._lock:
            found = [self._nodes[node].monitor for node in self._places.get(alert, ())]
        return [monitor for monitor in found if monitor is not None]

    def reports(self, policy: PolicyKey) -> Mapping[str, Report]:
        """Return what nodes may say of a policy, by node."""
        with self._lock:
            found = dict(self._by_policy.get(policy, {}))
        return {node: self._believed(node, report) for node, report in found.items()}

    def firing(self, policy: PolicyKey, *, begun_by: float) -> Iterator[FiringAlert]:
        """Yield what nodes that are not silent may say fires of a policy since `begun_by`, seconds since 1970."""
        silent = self.presence.silent
        with self._lock:
            found = [
                (node, item)
                for node, report in self._by_policy.get(policy, {}).items()
                for item in report.firing
                if item.since <= begun_by and node not in silent
            ]
        for node, item in found:
            if not self._trust.doubt(node, item.alert, item.subject):
                yield item

    def read_up_to(self) -> Mapping[str, int]:
        """Return up to which resourceVersion each node has read ThresholdSets."""
        with self._lock:
            return {node: _read_up_to(latest) for node, latest in self._nodes.items()}

    def moved(self, node: str) -> None:
        """Take note that a VM came to a node or left it: what the node says of it counts from now on, or no more."""
        with self._lock:
            latest = self._nodes.get(node)
        for policy in latest.reports if latest is not None else ():
            self._reported(policy)

    def _believed(self, node: str, report: Report) -> Report:
        firing = tuple(item for item in report.firing if not self._trust.doubt(node, item.alert, item.subject))
        moving = tuple(
            item for item in report.moving if not self._trust.doubt(item.subject.node, item.alert, item.subject)
        )
        applied = self._trust.applied(node, report.applied) if report.applied is not None else None
        return Report(applied, firing, moving)

    @property
    def presence(self) -> Presence:
        """Return who reports and who is silent, as of some seconds ago at most."""
        with self._lock:
            now = self._clock()
            if not 0 <= now - self._looked < _LOOK_EVERY_S:
                recent = {
                    node: now - item.at < SILENT_AFTER_S and not self._down(node)
                    for node, item in self._nodes.items()
                    if _speaks(item)
                }
                self._presence = Presence(
                    frozenset(node for node, reports in recent.items() if reports),
                    frozenset(node for node, reports in recent.items() if not reports),
                )
                self._looked = now
            return self._presence

    def notice_presence(self) -> None:
        """Call `presence_changed` if it did; to be called now and then, since silence makes no sound."""
        with self._lock:
            self._looked = float("-inf")  # who looked a moment ago must not hide for a turn what time alone has changed
        presence = self.presence
        if presence != self._noticed:
            self._noticed = presence
            self._presence_changed()

    def _read(self, node: str, document: Json) -> _Latest:
        try:
            monitor = cleaned(decode_nodemonitor(document), before=self.monitor(node))
        except (ValueError, KeyError, TypeError) as error:
            if node not in self._nodes or self._nodes[node].monitor is not None:
                logger.error(
                    "NodeMonitor %s cannot be read, so it is skipped: bring operator and agent to one version (%s: %s)",
                    node,
                    type(error).__name__,
                    error,
                )
            return _Latest(None, 0.0, {})
        return _Latest(monitor, _written(document) or self._clock(), _by_policy(monitor))

    def _index(self, node: str, before: _Latest | None, fresh: _Latest | None) -> list[PolicyKey]:
        old = before.reports if before else {}
        new = fresh.reports if fresh else {}
        touched = [policy for policy in {*old, *new} if old.get(policy) != new.get(policy)]
        for policy in touched:
            nodes = self._by_policy.setdefault(policy, {})
            if policy in new:
                nodes[node] = new[policy]
            else:
                nodes.pop(node, None)
            if not nodes:
                del self._by_policy[policy]
        return touched

    def _place(self, node: str, before: _Latest | None, fresh: _Latest | None) -> None:
        if _says(before) == _says(fresh):
            return  # as most reports do; to hash all their alerts would cost more than to compare them
        old, new = _alerts(before), _alerts(fresh)
        for alert in new - old:
            self._places.setdefault(alert, set()).add(node)
        for alert in old - new:
            self._places[alert].discard(node)
            if not self._places[alert]:
                del self._places[alert]


def _speaks(latest: _Latest) -> bool:
    return latest.monitor is not None and latest.monitor.status is not None


def _read_up_to(latest: _Latest | None) -> int:
    status = latest.monitor.status if latest is not None and latest.monitor is not None else None
    return status.read_up_to if status is not None else 0


def _says(latest: _Latest | None) -> tuple[Sequence[FiringAlert], Sequence[FiringAlert]]:
    monitor = latest.monitor if latest is not None else None
    return (monitor.firing, _moving(monitor)) if monitor is not None else ((), [])


def _alerts(latest: _Latest | None) -> set[AlertKey]:
    firing, moving = _says(latest)
    return {item.alert for item in (*firing, *moving)}


def _moving(monitor: NodeMonitor) -> list[FiringAlert]:
    """Return alerts that fire and are on their way: from a node, or to it and not taken yet.

    What waits for a node is that node's, as its VM is: it counts for as long as the VM is there.
    """
    leaving = [item.firing for item in monitor.leaving]
    arriving = [item.firing for item in monitor.arriving]
    return [
        *(replace(item, subject=replace(item.subject, node=monitor.node)) for item in arriving if item is not None),
        *(item for item in leaving if item is not None),
    ]


def _by_policy(monitor: NodeMonitor) -> Mapping[PolicyKey, Report]:
    status = monitor.status
    applied = {item.policy: item for item in (status.applied if status else ())}
    firing = _grouped(monitor.firing)
    moving = _grouped(_moving(monitor))
    return {
        policy: Report(applied.get(policy), firing.get(policy, ()), moving.get(policy, ()))
        for policy in (*applied, *firing, *moving)
    }


def _grouped(alerts: Iterable[FiringAlert]) -> Mapping[PolicyKey, tuple[FiringAlert, ...]]:
    grouped: dict[PolicyKey, tuple[FiringAlert, ...]] = {}
    for item in alerts:
        grouped[item.alert.policy] = (*grouped.get(item.alert.policy, ()), item)
    return grouped


def _written(document: Json) -> float:
    """Return when the status was written last, by the API server's own note; 0 where it made none."""
    notes: Iterable[Json] = document["metadata"].get("managedFields") or ()
    return max((timestamp(note.get("time")) for note in notes if note.get("subresource") == "status"), default=0.0)
