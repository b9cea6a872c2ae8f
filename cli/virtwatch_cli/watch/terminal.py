"""Shows what happens, in the order in which it happens, on a thread of its own.

A terminal that blocks stops no judging.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from virtwatch_agent.observations import (
    Appeared,
    ConnectionState,
    Domain,
    NodeChanged,
    Observation,
    Standing,
    StandingsAsked,
    Vanished,
)
from virtwatch_agent.seams import Deliver, Reporter
from virtwatch_api.alert import Action
from virtwatch_api.nodemonitor import Acknowledged, FiringAlert, NodeStatus, Transition, Unavailable
from virtwatch_api.policy import PolicyKey
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.policy_files import Finding
from virtwatch_cli.watch.listening import Found
from virtwatch_cli.watch.values import measured
from virtwatch_cli.watch.watched import Watched

_END = 1.0  # seconds in which what waits is shown at the end
_SETTLED = 0.3  # seconds without news after which what was found at the start is shown
_FIRST_LOOK = 5.0  # seconds after which it is shown anyway, though a connection has not said yet what is there
_FIRST_VALUES = 1.0  # seconds between looks whether there are values to show
_PAUSE = 20.0  # between two looks at values, in times that the last one took
_WAIT_FOR_VALUES = 3.0  # seconds, or 2.5 intervals: a rate needs two looks; then those are shown that are there
_INTERVALS = 2.5


class Screen(Protocol):
    """Write for a person or for a machine."""

    def overview(self, watched: Watched) -> None:
        """Show all that is watched."""
        ...

    def appeared(self, watched: Watched, domain: Domain, *, at: float) -> None:
        """Show a VM that is new, or whose state is."""
        ...

    def vanished(self, watched: Watched, domain: Domain, *, at: float, reason: str) -> None:
        """Show that a VM is gone."""
        ...

    def firing(self, alerts: Sequence[FiringAlert], *, total: int) -> None:
        """Show alerts that fired before the start, the worst ones; `total` counts all that fire."""
        ...

    def values(self, standings: Sequence[Standing], *, at: float) -> None:
        """Show current values beside bounds."""
        ...

    def unavailable(self, policy: PolicyKey, item: Unavailable, *, over: bool) -> None:
        """Show that a rule cannot be judged for some VMs, or can again."""
        ...

    def transition(self, transition: Transition) -> None:
        """Show a transition of an alert."""
        ...

    def problem(self, problem: Finding | str) -> None:
        """Show what is wrong."""
        ...


class TerminalReporter(Reporter):
    """Show what is watched and each transition, and acknowledge what was shown."""

    def __init__(
        self,
        screen: Screen,
        watched: Watched,
        *,
        closed: Callable[[], None],
        connections: int = 1,
        values_every: float = 0.0,
    ) -> None:
        """`closed` is called when nothing can be shown any more; `error` is why.

        The first screen waits for so many connections. Values are shown each `values_every` seconds, 0 for never.
        """
        self._connections_awaited = connections
        self._connected: set[str] = set()
        self._quiet_since = self._began = time.monotonic()
        self._values_every = values_every
        self._values_at = float("inf")  # monotonic seconds: when values are asked for next
        self._values_latest = 0.0
        self._values_shown = False
        self._missing: dict[tuple[PolicyKey, str, str, str], tuple[PolicyKey, Unavailable]] = {}
        self._screen = screen
        self._watched = watched
        self._closed = closed
        self.error: Exception | None = None
        self._deliver: Deliver = _nobody
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._newest: NodeStatus | None = None
        self._shown = Acknowledged("", 0)
        self._overview_shown = False
        self._status_known = False
        self._earlier: NodeStatus | None = None  # what fired before the start, until it is shown
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Begin to show; `deliver` is reported what was shown: here nobody else takes transitions."""
        self._deliver = deliver
        self._thread.start()

    def stop(self) -> None:
        """Show what waits, then end; give up after a second on a terminal that blocks."""
        self._queue.put(None)
        self._thread.join(timeout=_END)

    def publish(self, status: NodeStatus) -> None:
        """Take the newest status; never blocks."""
        # Only the newest one is kept: what it no longer lists was shown and acknowledged.
        with self._lock:
            waiting, self._newest = self._newest, status
        if waiting is None:
            self._queue.put(self._show_status)

    def found(self, found: Found) -> None:
        """Take what the collector found; never blocks."""
        self._queue.put(lambda: self._show_found(found))

    def policies(self, thresholds: tuple[ThresholdSet, ...]) -> None:
        """Take new policies; never blocks."""
        self._queue.put(lambda: self._show_policies(thresholds))

    def problem(self, problem: Finding | str) -> None:
        """Take what is wrong; never blocks."""
        self._queue.put(lambda: self._screen.problem(problem))

    def _run(self) -> None:
        # The thread's edge: whoever started it must not continue as if all was shown.
        try:
            self._show()
        except Exception as error:  # noqa: BLE001
            self.error = error
            self._closed()

    def _show(self) -> None:
        while True:
            try:
                show = self._queue.get(timeout=self._wait())
            except queue.Empty:
                show = self._show_what_is_due
            if show is None:
                break
            show()

    def _wait(self) -> float | None:
        """Return the seconds until something is to be shown though nothing comes; None for ever."""
        now = time.monotonic()
        if not self._overview_shown:
            return max(0.0, self._overview_at() - now)
        return None if self._values_at == float("inf") else max(0.0, self._values_at - now)

    def _overview_at(self) -> float:
        """Return when the first screen is due: every connection has listed its VMs, or takes too long for that."""
        latest = self._began + _FIRST_LOOK
        if len(self._connected) < self._connections_awaited:
            return latest
        return min(latest, self._quiet_since + _SETTLED)

    def _show_what_is_due(self) -> None:
        now = time.monotonic()
        if not self._overview_shown and now >= self._overview_at():
            self._show_overview()
        if now >= self._values_at:
            self._values_at = float("inf")  # until there is an answer
            self._ask_standings([], 0, began=now)

    def _ask_standings(self, known: list[Standing], first: int, *, began: float) -> None:
        def answer(found: Sequence[Standing], following: int | None) -> None:
            known.extend(found)
            if following is not None:
                self._ask_standings(known, following, began=began)
            else:
                self._queue.put(lambda: self._show_values(known, took=time.monotonic() - began))

        self._deliver(StandingsAsked(answer, first))

    def _show_values(self, standings: Sequence[Standing], *, took: float) -> None:
        # Of many rules less often: what is judged matters more than what is shown.
        pause = self._values_every if self._values_shown else _FIRST_VALUES
        self._values_at = time.monotonic() + max(pause, took * _PAUSE)
        if not self._values_shown:
            known = [bool(item.missing) or item.explained.evidence.value is not None for item in measured(standings)]
            if not any(known) or not (all(known) or time.monotonic() >= self._values_latest):
                return
            self._values_shown = True
            self._values_at = time.monotonic() + max(self._values_every, took * _PAUSE)
        self._screen.values(standings, at=time.time())

    def _show_overview(self) -> None:
        if self._overview_shown:
            return
        self._overview_shown = True
        self._screen.overview(self._watched)
        self._show_earlier()
        if self._values_every:
            self._values_shown = False
            now = time.monotonic()
            slowest = max((item.collection.interval for item in self._watched.thresholds), default=0.0)
            self._values_at = now + _FIRST_VALUES
            self._values_latest = now + max(_WAIT_FOR_VALUES, _INTERVALS * slowest)
        if self._newest is not None:
            self._show_status()

    def _show_earlier(self) -> None:
        status, self._earlier = self._earlier, None
        if status is not None and status.firing:
            self._screen.firing(status.firing, total=status.counts.warning + status.counts.critical)

    def _show_policies(self, thresholds: tuple[ThresholdSet, ...]) -> None:
        self._watched.thresholds = thresholds
        self._overview_shown = False
        self._show_overview()

    def _show_found(self, found: Found) -> None:
        self._quiet_since = time.monotonic()
        match found:
            case ConnectionState(connection, _, _, closed):
                if not closed:
                    self._connected.add(connection)
            case Appeared(domain, at):
                before = self._watched.domains.get(domain.uuid)
                self._watched.domains[domain.uuid] = domain
                if self._overview_shown and (before is None or before.state is not domain.state):
                    self._screen.appeared(self._watched, domain, at=at)
            case Vanished(uuid, at, reason):
                gone = self._watched.domains.pop(uuid, None)
                if self._overview_shown and gone is not None:
                    self._screen.vanished(self._watched, gone, at=at, reason=reason)

    def _show_status(self) -> None:
        if not self._overview_shown and time.monotonic() < self._overview_at():
            return  # the first screen shows it
        with self._lock:
            status, self._newest = self._newest, None
        if status is None:
            return
        if self._shown.epoch != status.epoch:
            self._shown = Acknowledged(status.epoch, 0)
        fresh = [item for item in status.transitions if item.sequence > self._shown.sequence and _tells(item)]
        if not self._status_known:
            self._status_known = True
            self._take_earlier(status, reported=fresh)
        self._show_unavailable(status)
        if not fresh:
            return
        self._show_overview()
        for transition in fresh:
            self._screen.transition(transition)
        self._shown = Acknowledged(status.epoch, fresh[-1].sequence)
        self._deliver(NodeChanged(labels={}, acknowledged=self._shown))

    def _show_unavailable(self, status: NodeStatus) -> None:
        """Show what rules lack that is new, and what is over; the number of VMs alone is no news."""
        missing = {
            (applied.policy, item.rule, item.signal, item.why): (applied.policy, item)
            for applied in status.applied
            for item in applied.unavailable
        }
        for key in missing.keys() - self._missing.keys():
            self._screen.unavailable(*missing[key], over=False)
        for key in self._missing.keys() - missing.keys():
            self._screen.unavailable(*self._missing[key], over=True)
        self._missing = missing

    def _take_earlier(self, status: NodeStatus, *, reported: Iterable[Transition]) -> None:
        """Take what fired before the start, but for what a transition tells anyway; show it with the overview."""
        alerts = {item.alert for item in reported}
        self._earlier = replace(status, firing=tuple(item for item in status.firing if item.alert not in alerts))
        if self._overview_shown:
            self._show_earlier()


def _nobody(*_: Observation) -> None:
    """Take what comes before there is somebody to tell."""


def _tells(transition: Transition) -> bool:
    """Return whether a transition is one to be shown: what is only counted, is counted by the operator of a cluster."""
    return transition.action is not Action.COUNTED
