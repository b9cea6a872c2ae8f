"""What judging leads to, in this order: the ledger, the disk, then spans and the report.

Never the other way round.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from virtwatch_agent.collect.cost import Cost
from virtwatch_agent.core.context import Context
from virtwatch_agent.core.flapping import Flapping
from virtwatch_agent.core.ledger import Ledger
from virtwatch_agent.core.status import Conditions, View, budget_problem, build_status
from virtwatch_agent.inventory.records import DomainRecord
from virtwatch_agent.journal.store import Journal, Restored
from virtwatch_agent.judge.target import Target
from virtwatch_agent.judge.verdict import Verdict
from virtwatch_agent.observations import LibvirtObject
from virtwatch_agent.seams import Clock, Reporter, Telemetry
from virtwatch_api import __version__
from virtwatch_api.alert import Action
from virtwatch_api.nodemonitor import Acknowledged, AgentHealth, Handover, NodeStatus, Transition
from virtwatch_api.policy import PolicyKey
from virtwatch_api.targets import TargetRef
from virtwatch_rules.observed import Observed

logger = logging.getLogger(__name__)

_REFRESH = 60.0  # seconds after which a status with nothing new but its cost is published again
_ROUNDED = 6  # digits of a time: what a journal entry keeps


class Outcome:
    """Turn verdicts into transitions, and transitions into journal, spans and status."""

    def __init__(
        self,
        journal: Journal,
        reporter: Reporter,
        telemetry: Telemetry,
        clock: Clock,
        *,
        new_epoch: Callable[[], str],
        cost: Callable[[], Cost],
        started: float,
        burst: int,
        wake: Callable[[], None],
    ) -> None:
        """Call `wake`, on another thread, when `settle` has something to do though nothing happened."""
        self._ledger = Ledger(journal, new_epoch=new_epoch, clock=clock, wake=wake)
        self._reporter = reporter
        self._telemetry = telemetry
        self._clock = clock
        self._cost = cost
        self._started = started
        # Monotonic seconds: a clock that is set must neither silence a node nor change what it costs.
        self._began = clock.monotonic()
        self._published_at = self._began
        self._flapping = Flapping(burst=burst)
        self._fresh: deque[tuple[Transition, Verdict, float]] = deque()
        self._held: NodeStatus | None = None  # says what is being written, and waits for it
        self._noted: dict[str, frozenset[str]] = {}
        self._noted_before = 0
        self.observed = Observed()
        self._conditions = Conditions()
        self._export_lost = False
        self._cut: Mapping[TargetRef, int] = {}
        self._coarse = ""
        self.changed = True
        self.samples = 0
        self.errors = 0

    def open(self) -> Restored:
        """Read the journal.

        Raises:
            JournalInUseError: another process has it.
        """
        restored = self._ledger.open()
        for record in restored.alerts:
            ids = self._noted.get(record.key.target.id, frozenset())
            self._noted[record.key.target.id] = ids | {record.key.id}
        return restored

    def take(self, target: Target, verdict: Verdict) -> None:
        """Make a verdict a transition, or count it where the policy only observes."""
        self.changed = True
        change = verdict.change
        now = self._clock.time()
        if change.action is Action.COUNTED:  # of a policy that only observes too: the operator counts what would fire
            if self._flapping.may_count(verdict.key.policy, now=self._clock.monotonic()):
                self._journal(target, verdict, now=now)
            return
        if not verdict.enforced:
            if change.action is Action.FIRED:
                self.observed.fired(verdict.key.policy, at=now)
            return
        passed = self._flapping.pass_on(target, verdict, now=self._clock.monotonic())
        if passed is not None:
            self._journal(target, passed, now=now)

    def _journal(self, target: Target, verdict: Verdict, *, now: float) -> None:
        change = verdict.change
        traceparent = self._telemetry.transition_context()
        # What was read at a random instant is judged for the end of its interval, which is yet to come.
        since = round(min(change.since, now), _ROUNDED)
        transition = self._ledger.append(
            lambda sequence: Transition(
                sequence=sequence,
                alert=verdict.key,
                action=change.action,
                reason=change.reason,
                severity=change.severity,
                previous=change.previous,
                at=round(now, _ROUNDED),
                since=since,
                subject=verdict.subject or target.subject,
                evidence=verdict.evidence,
                traceparent=traceparent,
                move=verdict.move,
                pool=verdict.pool,
            )
        )
        alert = verdict.alert
        if alert is not None and (alert.state.since or 0.0) > now:
            alert.state = replace(alert.state, since=since)  # or it would be said again with each report
        if alert is not None and change.action in (Action.FIRED, Action.ESCALATED):
            alert.traceparent = traceparent
        self._fresh.append((transition, verdict, now))

    def note(self, target: Target) -> None:
        """Note a target's alerts for the journal."""
        uuid = target.ref.id
        reported = (self._flapping.as_reported(record) for record in target.records())
        records = [*(record for record in reported if record is not None), *self._flapping.unreported(target)]
        self._noted[uuid] = self._ledger.save_alerts(records, self._noted.get(uuid, frozenset()))

    def save_domain(self, record: DomainRecord) -> None:
        """Note a domain for the journal."""
        self._ledger.save_domain(record.domain.uuid, record)

    def save_object(self, known: LibvirtObject) -> None:
        """Note a virtual network or a storage pool for the journal."""
        self._ledger.save_object(str(known.target), known)

    def forget_object(self, ref: TargetRef) -> None:
        """Forget a virtual network or a storage pool that is gone and has no alert left."""
        self._ledger.save_object(str(ref), None)
        self._forget_alerts(ref.id)

    def save_node_labels(self, labels: Mapping[str, str]) -> None:
        """Note the node's labels for the journal."""
        self._ledger.save_node_labels(labels)

    def forget(self, uuid: str) -> None:
        """Forget a VM that is gone and has no alert left."""
        self._ledger.save_domain(uuid, None)
        self._forget_alerts(uuid)

    def _forget_alerts(self, uuid: str) -> None:
        self._noted.pop(uuid, None)
        for target, verdict in self._flapping.forget(uuid):
            self._journal(target, verdict, now=self._clock.time())
        self.changed = True

    def acknowledge(self, acknowledged: Acknowledged) -> None:
        """Drop what the operator has taken."""
        self.changed |= self._ledger.acknowledge(acknowledged)

    def adopt(self, handovers: Sequence[Handover]) -> list[Handover]:
        """Take what is handed over to this node; return what was not taken before."""
        return self._ledger.adopt(handovers)

    def settle(self, targets: Callable[[], Sequence[Target]], context: Context) -> None:
        """Begin to write what is new; emit the spans, and publish the status, of what is on disk.

        They wait for the disk until it fails, or has not answered for 5 s: then it costs durability, nothing else.
        """
        problem = self._ledger.problem
        if self._ledger.poll():
            self._publish_held()
        for target, verdict in self._flapping.due(now=self._clock.monotonic()):
            self._journal(target, verdict, now=self._clock.time())
            self.note(target)
        # The sentences of backends count seconds and retries; whether there is one is the news.
        self.changed |= problem != self._ledger.problem or self._noted_before != self._ledger.noted
        self.changed |= bool(self._telemetry.problem) != self._export_lost
        self._export_lost = bool(self._telemetry.problem)
        cut = self._telemetry.cut
        self.changed |= cut != self._cut
        self._cut = cut
        self.changed |= self.observed.taught
        self.observed.taught = False
        self._tell_coarse(context.windows.problem)
        self._noted_before = self._ledger.noted
        taken = self._ledger.begin()
        now, clock = self._clock.time(), self._clock.monotonic()
        if self._ledger.problem:
            self._held = None
        self._emit_spans(now)
        waits = not (self._ledger.problem or self._ledger.durable)
        if (waits and not taken) or not (self.changed or clock - self._published_at >= _REFRESH):
            return
        self.changed = False
        self._published_at = clock
        status = build_status(self._view(targets(), context, now), self._conditions, now=now)
        if waits:
            self._held = status
        else:
            self._reporter.publish(status)

    @property
    def settle_at(self) -> float:
        """Return before when `settle` has nothing to do, unless something happens; monotonic seconds."""
        if self._flapping.waits or self._fresh or self.changed:
            return float("-inf")
        return min(self._ledger.begin_at, self._published_at + _REFRESH)

    def flush(self) -> None:
        """Write what is left, as far as the disk takes it soon."""
        if self._ledger.flush():
            self._publish_held()

    def _publish_held(self) -> None:
        self._emit_spans(self._clock.time())
        held, self._held = self._held, None
        if held is not None:
            self._reporter.publish(held)

    def _emit_spans(self, now: float) -> None:
        """Emit the spans of transitions that are on disk, or that the disk does not take."""
        while self._fresh and (self._ledger.problem or self._fresh[0][0].sequence <= self._ledger.saved):
            transition, verdict, judged = self._fresh.popleft()
            thresholds = verdict.effective.thresholds if verdict.effective is not None else None
            self._telemetry.transition(
                transition, thresholds=thresholds, cause=verdict.cause, judged=judged, journaled=now
            )

    def _tell_coarse(self, problem: str) -> None:
        """Say, once each time that it changes, that windows had to become coarser."""
        if problem == self._coarse:
            return
        self._coarse, self.changed = problem, True
        if problem:
            logger.warning("%s", problem)

    def close(self) -> None:
        """Write what is left and close the journal."""
        self._ledger.close()

    def _would_have_fired(self, context: Context, now: float) -> Mapping[PolicyKey, int]:
        if not context.known:
            return {}  # which policies there are is yet to be heard: what was counted before a restart is kept
        return self.observed.last_day(now=now, policies=[item.policy for item in context.thresholds])

    def _view(self, targets: Sequence[Target], context: Context, now: float) -> View:
        cost = self._cost()
        return View(
            ledger=self._ledger,
            targets=targets,
            coverage=context.coverage,
            thresholds=context.thresholds,
            thresholds_known=context.known,
            rejected=context.rejected,
            foreign=context.foreign,
            replaced=context.replaced,
            unavailable=context.unavailable,
            read_up_to=context.read_up_to,
            blind_spots=context.blind_spots.values(),
            export_problem=self._telemetry.problem,
            cut=self._cut,
            windows_problem=context.windows.problem,
            would_have_fired=self._would_have_fired(context, now),
            health=AgentHealth(
                version=__version__,
                started=self._started,
                cpu=cost.cpu,
                memory=cost.memory,
                samples=self.samples,
                errors=self.errors,
                reported=now,
                scan=cost.scan,
                budget=cost.budget,
                slowdown=cost.slowdown.monitor,
                lateness=cost.lateness,
                calls=cost.calls,
                stuck=cost.stuck,
            ),
            budget_problem=budget_problem(cost),
        )
