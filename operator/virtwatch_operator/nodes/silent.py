"""What becomes of the alerts of a node that falls silent: they are unknown, and one alert of each policy says so."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from opentelemetry.context import Context

from virtwatch_api.alert import Action, AlertKey, Reason
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor import Evidence, FiringAlert, Transition
from virtwatch_api.policy import Enforcement, PolicyKey, Severity
from virtwatch_api.targets import TARGET_KINDS, Subject, node_ref
from virtwatch_operator.announce.sinks import Handed, News, Origin
from virtwatch_operator.fleet import Fleet
from virtwatch_operator.nodes.agents import AgentPods
from virtwatch_operator.policies import PolicyBook
from virtwatch_operator.rollup.reports import Report
from virtwatch_operator.rollup.wording import count, listed

# No rule that users write can have this name.
NODE_SILENT = "NodeSilent"
# A pod that is not ready has had its grace; silence alone may be the API server's, which agents end within 15 s.
_DOWN_S = 2.0
_LATE_S = 30.0
_NAMED = 10


@dataclass(frozen=True, slots=True)
class _Announced:
    """Hold what was reported of a silent node: for which policies, and when it had reported last."""

    transitions: Mapping[PolicyKey, Transition]
    last: int


class SilentNodes:
    """Tell once of each node that falls silent, and once that it reports again. For one thread.

    `known` tells whether all nodes, and the pods of their agents, have been seen lately; `hand` is the sinks'.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        pods: AgentPods,
        book: PolicyBook,
        known: Callable[[], bool],
        hand: Callable[[Sequence[Handed]], None],
        instance: str,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._fleet = fleet
        self._pods = pods
        self._book = book
        self._known = known
        self._hand = hand
        self._instance = instance
        self._clock = clock
        self._wall_clock = wall_clock
        self._since: dict[str, float] = {}
        self._announced: dict[str, _Announced] = {}

    def look(self) -> None:
        """Tell of the nodes that have been silent for a while, and of those that are no more; return at once."""
        if not self._known():
            return
        now, silent = self._clock(), self._fleet.presence.silent
        self._since = {node: self._since.get(node, now) for node in silent}
        for node in silent - self._announced.keys():
            if now - self._since[node] >= (_DOWN_S if self._pods.down(node) else _LATE_S):
                self._begin(node)
        for node in self._announced.keys() - silent:
            self._end(node, self._announced.pop(node))

    def _begin(self, node: str) -> None:
        said = self._fleet.last_word(node)
        if said is None:
            return
        last = int(said.at)
        why = self._pods.observed(node).message if self._pods.down(node) else "it writes no reports any more"
        announced = {
            key: self._transition(node, key, report, why, last) for key, report in self._concerned(said.reports)
        }
        self._announced[node] = _Announced(announced, last)
        self._tell(node, "silent", announced)

    def _end(self, node: str, announced: _Announced) -> None:
        if not self._fleet.known(node):
            return  # it is gone, and so is what was unknown; channels are notified by who looks after their alerts
        now = self._wall_clock()
        ends = {key: _ended(item, at=now) for key, item in announced.transitions.items()}
        self._tell(node, "reports", ends)

    def _tell(self, node: str, epoch: str, transitions: Mapping[PolicyKey, Transition]) -> None:
        batch = []
        for key, transition in transitions.items():
            facts = self._book.get(key)
            if facts is not None:
                origin = Origin(node, epoch, facts.uid, self._instance)
                batch.append(Handed(News(transition, origin, Context()), _nothing))
        self._hand(batch)

    def _concerned(self, reports: Mapping[PolicyKey, Report]) -> Iterator[tuple[PolicyKey, Report]]:
        """Yield the policies that alert on what the node watched."""
        for key, report in sorted(reports.items(), key=lambda item: str(item[0])):
            facts = self._book.get(key)
            in_force = facts.in_force if facts is not None else None
            if in_force is None or in_force.enforcement is not Enforcement.ENFORCE:
                continue
            if _unsure(report) or (report.applied is not None and report.applied.targets):
                yield key, report

    def _transition(self, node: str, key: PolicyKey, report: Report, why: str, last: int) -> Transition:
        facts = self._book.get(key)
        noun = TARGET_KINDS[facts.kind if facts is not None else TargetKind.VIRTUAL_MACHINE].noun
        severities = [item.severity for item in _unsure(report)]
        return Transition(
            sequence=last,  # the same for each leader, so that none tells it again
            alert=AlertKey(key, NODE_SILENT, node_ref(node)),
            action=Action.FIRED,
            reason=Reason.NO_DATA,
            severity=max(severities, key=lambda severity: severity.rank, default=Severity.WARNING),
            previous=None,
            at=self._wall_clock(),
            since=float(last),
            subject=Subject(node, node_ref(node), node),
            evidence=Evidence("", text=f"{why}. {_unknown(report, noun)}"),
        )


def _ended(item: Transition, *, at: float) -> Transition:
    return replace(
        item,
        action=Action.RESOLVED,
        reason=Reason.RECOVERED,
        severity=None,
        previous=item.severity,
        at=at,
        evidence=Evidence("", text="the node reports again"),
    )


def _unknown(report: Report, noun: str) -> str:
    watched = report.applied.targets if report.applied is not None else 0
    first = f"Nobody watches {count(watched, noun)} of this policy there" if watched else ""
    unsure = _unsure(report)
    if not unsure:
        return f"{first}; none of its alerts fired there"
    # Worst first; what a node reports may be cut to these.
    fired = f"whether they still fire: {listed([_name(item) for item in unsure], most=_NAMED)}"
    return f"{first}; unknown {fired}" if first else f"Unknown {fired}"


def _unsure(report: Report) -> Sequence[FiringAlert]:
    """Return the alerts that fired on a node, and after these what came there with VMs and was not taken yet."""
    fired = {item.alert for item in report.firing}
    return [*report.firing, *(item for item in report.moving if item.alert not in fired)]


def _name(item: FiringAlert) -> str:
    device = f" {item.alert.device}" if item.alert.device else ""
    return f"{item.subject.described} ({item.alert.rule}{device})"


def _nothing() -> None:
    """Nobody waits for it: what was not reported when a leader dies the next one tells."""
