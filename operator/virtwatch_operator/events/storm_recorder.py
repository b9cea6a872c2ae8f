"""Tells storms: one Event on the policy, one on the Node, however many targets are concerned."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import NotFound
from virtwatch_kube.paths import EVENTS, resource
from virtwatch_operator.announce.sinks import News
from virtwatch_operator.events.bodies import CLUSTER_NAMESPACE, Json, announcements
from virtwatch_operator.events.recorder import Outcome, Recorder
from virtwatch_operator.events.storm_bodies import (
    THROUGH,
    Storm,
    about_node,
    about_policy,
    counting,
    first_of,
    storm_name,
)

# What happened before this leader began may have been reported by the one before it; clocks of nodes differ a little.
_SLACK_S = 60.0
_MAX_KEPT = 4096


@dataclass(frozen=True, slots=True)
class _Standing:
    """Hold the Event of a storm as it stands, None where there is none; how many it counts, and up to where."""

    event: Json | None
    count: int = 0
    through: int = 0


_NONE = _Standing(event=None)


class StormRecorder:
    """Recognize storms in what waits, and tell them. For several threads, one at a time for each policy of a node."""

    def __init__(self, *, client: KubeClient, recorder: Recorder, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._recorder = recorder
        self._begun = clock()
        self._standing: dict[str, _Standing] = {}
        self._counted: dict[str, set[str]] = {}  # what the Event on a Node counts
        self._lock = threading.Lock()
        self._on_nodes = threading.Lock()  # one Event for all policies of a node, written one after the other

    def announce(self, waiting: Sequence[News]) -> int:
        """Announce the first few of what waits as one and return how many; 0 where the first has an Event of its own.

        Raises:
            KubeError: all is to be handed in again.
        """
        storm = first_of(waiting)
        standing = self._find(storm)
        if count := sum(item.sequence <= standing.through for item in storm.transitions):
            return count
        if standing.event is None and (not storm.is_one or self._was_announced_by_itself(waiting[0])):
            return 0
        self._announce_node(storm)
        if self._announce_policy(storm, standing) is Outcome.ALREADY_ANNOUNCED:
            about = about_policy(storm)
            self._read(about.name, about.namespace)  # an answer that was lost, or another leader's
            return self.announce(waiting)
        self._recorder.promise((item.alert.id, item.severity) for item in storm.transitions)
        return len(storm.transitions)

    def _find(self, storm: Storm) -> _Standing:
        first = storm.first
        name, namespace = storm_name(first, storm.origin), first.alert.policy.namespace or CLUSTER_NAMESPACE
        with self._lock:
            found = self._standing.get(name)
        if found is not None:
            return found
        return self._read(name, namespace) if self._may_be_announced(first.at) else _NONE

    def _read(self, name: str, namespace: str) -> _Standing:
        found = _NONE
        with suppress(NotFound):
            event = self._client.get(resource(EVENTS, "events", namespace=namespace, name=name))
            through = int((event["metadata"].get("annotations") or {}).get(THROUGH, 0))
            found = _Standing(event, int((event.get("series") or {}).get("count", 1)), through)
        self._keep(name, found)
        return found

    def _keep(self, name: str, standing: _Standing) -> None:
        with self._lock:
            if len(self._standing) >= _MAX_KEPT:
                self._standing.clear()  # what is asked for again is read again
            self._standing[name] = standing

    def _may_be_announced(self, at: float) -> bool:
        return at < self._begun + _SLACK_S or len(self._standing) >= _MAX_KEPT

    def _was_announced_by_itself(self, news: News) -> bool:
        if not self._may_be_announced(news.transition.at):
            return False
        *_, about = announcements(news.transition, news.origin)
        try:
            self._client.get(resource(EVENTS, "events", namespace=about.namespace, name=about.name))
        except NotFound:
            return False
        return True

    def _announce_node(self, storm: Storm) -> None:
        """Count a storm on its Node; after a leader's death, what it told last may be counted there twice."""
        if not storm.first.subject.node:
            return  # of pools or namespaces: it is no Node's
        alone, batch = about_node(storm), f"{storm.first.alert.policy.kind} {storm.first.alert.policy} {storm.through}"
        with self._on_nodes:
            counted = self._counted.setdefault(alone.name, set())
            if batch in counted:
                return  # it was tried before, and failed on the policy
            with self._lock:
                standing = self._standing.get(alone.name)
            standing = standing or self._read(alone.name, alone.namespace)
            count = standing.count + len(storm.transitions)
            body = standing.event or alone.body
            self._recorder.remind(counting(body, storm, count=count))
            self._keep(alone.name, _Standing(body, count))
            counted.add(batch)
            if len(self._counted) > _MAX_KEPT:
                del self._counted[next(iter(self._counted))]

    def _announce_policy(self, storm: Storm, standing: _Standing) -> Outcome:
        count = standing.count + len(storm.transitions)
        body = standing.event or about_policy(storm).body
        announcement = counting(body, storm, count=count)
        stands = standing.event is not None
        outcome = self._recorder.post(announcement, at=storm.transitions[-1].at, stands=stands)
        if outcome is not Outcome.ALREADY_ANNOUNCED:
            self._keep(announcement.name, _Standing(announcement.body, count, storm.through))
        return outcome
