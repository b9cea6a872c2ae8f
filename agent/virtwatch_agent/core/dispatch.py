"""What each observation leads to: which VM it is about, which rules are in force for it, what its judgement says."""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from virtwatch_agent.collect.plan import demand
from virtwatch_agent.core.context import Context
from virtwatch_agent.core.inventory import Inventory
from virtwatch_agent.core.outcome import Outcome
from virtwatch_agent.core.timeline import Timeline
from virtwatch_agent.inventory.gaps import ends
from virtwatch_agent.inventory.records import DomainRecord
from virtwatch_agent.journal.store import Restored
from virtwatch_agent.judge.records import adopted
from virtwatch_agent.judge.verdict import Verdict, on_stranger
from virtwatch_agent.judge.virtual_machine import VirtualMachine
from virtwatch_agent.observations import (
    Appeared,
    ConnectionState,
    DomainState,
    FoundStopped,
    IdentitiesChanged,
    NodeChanged,
    Observation,
    Sample,
    TargetEvent,
    ThresholdsChanged,
    Unwatched,
    Vanished,
)
from virtwatch_agent.seams import Clock, Collector, Telemetry
from virtwatch_api.nodemonitor import Handover
from virtwatch_api.resolution import resolve_rules
from virtwatch_api.targets import vm_ref

_LOG = logging.getLogger(__name__)
_MAX_EARLY = 64  # events of domains that were not announced yet
_EARLY_S = 30.0  # after which nobody announces their domain any more


class Dispatch:
    """Take observations, one after the other; `settle` ends a turn."""

    def __init__(
        self,
        *,
        node: str,
        collector: Collector,
        telemetry: Telemetry,
        outcome: Outcome,
        clock: Clock,
        guarded: Callable[[Callable[[], None]], None],
        export_interval: float,
    ) -> None:
        """`guarded` keeps what fails for one VM from the others; `export_interval` in seconds."""
        self._collector = collector
        self._telemetry = telemetry
        self._outcome = outcome
        self._clock = clock
        self._guarded = guarded
        self._export_interval = export_interval
        self._timeline = Timeline(clock)
        self._inventory = Inventory(node)
        self._context = Context()
        self._early: deque[TargetEvent] = deque(maxlen=_MAX_EARLY)
        self._touched: set[str] = set()

    @property
    def ready(self) -> bool:
        """Tell whether policies are known, so that VMs are judged."""
        return self._context.known

    def restore(self, restored: Restored) -> None:
        """Take back what was known before a restart."""
        self._timeline.look()  # what was set before is in the timers already
        self._context.restore(restored)
        self._inventory.restore(restored, clock=self._clock.monotonic())
        pods = (item.domain.pod_uid for item in restored.domains if item.identity is not None)
        self._collector.launchers(frozenset(uid for uid in pods if uid))

    def follow_clock(self) -> None:
        """Move all timers along when the clock was set."""
        seconds = self._timeline.look()
        if seconds:
            _LOG.info("the clock was set by %+.1f s; what alerts wait for goes on", seconds)
            for machine in self._inventory.machines.values():
                machine.clock_set(seconds)
            self._touched.update(self._inventory.machines)

    def handle(self, observation: Observation) -> None:
        """Take one observation."""
        match observation:
            case Sample() | TargetEvent() | Appeared() | Vanished() | FoundStopped():
                self._of_domain(observation)
            case ConnectionState():
                self._connection(observation)
            case Unwatched():
                self._context.unwatched(observation)
                self._outcome.changed = True
            case ThresholdsChanged():
                self._thresholds(observation)
            case IdentitiesChanged():
                self._identities(observation)
            case NodeChanged():
                self._node_changed(observation)

    def _of_domain(self, observation: Sample | TargetEvent | Appeared | Vanished | FoundStopped) -> None:
        match observation:
            case Sample():
                self._sample(observation)
            case TargetEvent():
                self._event(observation)
            case Appeared():
                self._appeared(observation)
            case Vanished():
                self._vanished(observation)
            case FoundStopped():
                self._inventory.found_stopped(observation)

    def _sample(self, sample: Sample) -> None:
        machine = self._inventory.machines.get(sample.target.id)
        if machine is None or not machine.present:
            return
        if sample.source.asks_monitor:
            self._see_again(machine, "vm.telemetry_stuck", at=sample.at)
        sample = self._timeline.placed(sample)
        self._outcome.samples += 1
        self._telemetry.sample(machine.subject, machine.domain, sample)
        due = self._timeline.at(sample.clock if sample.due is None else sample.due)
        self._emit(machine, machine.sample(sample, due=due))

    def _event(self, event: TargetEvent) -> None:
        machine = self._inventory.machines.get(event.target.id)
        if machine is None:
            self._early.append(event)
            return
        if machine.knows(event):
            return
        if event.type == "vm.stopped" and self._inventory.destination(machine, event.attributes.get("reason", "")):
            event = replace(event, attributes={"reason": "migrated"})  # nobody saw it leave, but it has not stopped
        self._telemetry.event(machine.subject, event)
        self._context.heard(machine, event)
        self._outcome.changed = True
        self._emit(machine, machine.event(event))

    def _appeared(self, appeared: Appeared) -> None:
        machine, inferred = self._inventory.appear(appeared)
        self._outcome.changed = True
        self._save_domain(machine)
        self._apply(machine)
        early = [event for event in self._early if event.target.id == appeared.domain.uuid]
        for event in early:
            self._early.remove(event)
        for event in (*inferred, *early):
            self._event(event)
        if any(event.type == "vm.started" for event in inferred):
            machine.start_inferred = machine.domain.incarnation

    def _vanished(self, vanished: Vanished) -> None:
        machine = self._inventory.machines.get(vanished.uuid)
        if machine is None:
            return
        self._telemetry.forget(vm_ref(vanished.uuid))
        self._context.forget(machine)
        self._outcome.changed = True
        destination = self._inventory.destination(machine, vanished.reason)
        if destination:
            self._inventory.depart(machine, destination)
            self._emit(machine, machine.leave(destination, now=vanished.at))
        else:
            self._emit(machine, machine.vanish(now=vanished.at))
        self._save_domain(machine)

    def _ended(self, machine: VirtualMachine, found: FoundStopped | None, *, now: float) -> None:
        """Infer the end of a VM that was there before a restart, unless it was told then."""
        uuid = machine.domain.uuid
        if machine.domain.state is DomainState.STOPPED:
            self._touched.add(uuid)
            return
        for event in ends(machine.domain, found, at=now) if machine.seen else ():
            self._event(event)
        self._vanished(Vanished(uuid, now, found.reason if found is not None else "lost"))

    def _connection(self, state: ConnectionState) -> None:
        on_it = [item for item in self._inventory.machines.values() if item.domain.connection == state.connection]
        event = self._context.connected(state)
        self._outcome.changed = True
        for machine in on_it:
            if event is not None:
                self._event(TargetEvent(event, machine.domain.target, state.at))
            elif not state.problem:
                self._see_again(machine, "libvirt.lost", at=state.at)

    def _see_again(self, machine: VirtualMachine, lost: str, *, at: float) -> None:
        """End what an earlier process said of a VM that it could not see: only this one can say that it is over."""
        found = self._context.found(machine, lost)
        if found is not None:
            self._event(TargetEvent(found, machine.domain.target, at, inferred=True))

    def _thresholds(self, changed: ThresholdsChanged) -> None:
        started = self._clock.time()
        fresh = self._context.thresholds_changed(changed)
        self._outcome.changed = True
        for machine in list(self._inventory.machines.values()):
            self._apply(machine)
        for thresholds in fresh:
            count = sum(thresholds.policy in item.policies for item in self._inventory.machines.values())
            self._telemetry.applied(thresholds, started=started, virtual_machines=count)

    def _identities(self, changed: IdentitiesChanged) -> None:
        self._collector.launchers(frozenset(uid for item in changed.identities for uid in item.pod_uids))
        for machine in self._inventory.identify(changed.identities):
            self._save_domain(machine)
            self._apply(machine)

    def _node_changed(self, changed: NodeChanged) -> None:
        if changed.labels != self._context.node_labels:
            self._context.node_labels = dict(changed.labels)
            self._outcome.save_node_labels(self._context.node_labels)
            for machine in list(self._inventory.machines.values()):
                self._apply(machine)
        if changed.acknowledged is not None:
            self._outcome.acknowledge(changed.acknowledged)
        for handover in self._outcome.adopt(changed.handovers):
            self._guarded(lambda: self._adopt(handover))  # noqa: B023 - called at once

    def _adopt(self, handover: Handover) -> None:
        """Go on with an alert that came along with its VM."""
        subject = handover.transition.subject
        here = self._inventory.machines.get(subject.target.id)
        if here is not None and here.other_than(subject):
            self._emit(here, on_stranger(adopted(handover), here.subject.node, now=self._clock.time()))
            return
        machine = self._inventory.expect(subject, clock=self._clock.monotonic())
        machine.adopt(adopted(handover))
        self._save_domain(machine)
        self._touched.add(machine.domain.uuid)
        self._apply(machine)

    def _apply(self, machine: VirtualMachine) -> None:
        """Put the rules in force for a VM, as far as both policies and the VM's identity are known."""
        if self._context.known and machine.known:
            context = self._context
            resolution = resolve_rules(machine.selector_identity, context.thresholds, node_labels=context.node_labels)
            context.annotations(machine, resolution.problems)
            policies = [item.policy for item in context.thresholds]
            policies += [item.policy for item in context.rejected]  # unreadable, but there
            now = self._timeline.at(self._clock.monotonic())
            self._emit(machine, machine.apply(resolution, policies, now=now))
        if machine.present:
            judge = machine.evaluator
            wanted = demand(judge.intervals, judge.event_types, export_interval=self._export_interval)
            self._collector.plan(machine.domain.target, wanted)

    def _emit(self, machine: VirtualMachine, verdicts: Iterable[Verdict]) -> None:
        paused_by = machine.paused_by
        for verdict in verdicts:
            self._outcome.take(machine, verdict)
        if machine.paused_by != paused_by:
            self._save_domain(machine)
        self._touched.add(machine.domain.uuid)

    def tick(self) -> None:
        """Let time pass."""
        clock = self._clock.monotonic()
        now = self._timeline.at(clock)
        lost, judging = self._context.lost, self._context.known
        for uuid, found in self._inventory.missing(clock=clock, lost=lost, judging=judging).items():
            self._ended(self._inventory.machines[uuid], found, now=now)
        while self._early and self._early[0].at < now - _EARLY_S:
            self._early.popleft()
        for machine in list(self._inventory.machines.values()):
            self._guarded(lambda: self._emit(machine, machine.tick(now=now)))  # noqa: B023

    def settle(self) -> None:
        """Write what this turn changed, then publish it: never the other way round."""
        touched, self._touched = self._touched, set()
        for uuid in touched:
            machine = self._inventory.machines.get(uuid)
            if machine is None:
                continue
            self._outcome.note(machine)
            to_be_judged = machine.waits and machine.known and not self._context.known
            expected = machine.present or to_be_judged or self._inventory.awaits(uuid)
            if not expected and not any(machine.records()):
                self._inventory.forget(uuid)
                self._outcome.forget(uuid)
        self._outcome.settle(tuple(self._inventory.machines.values()), self._context)

    def _save_domain(self, machine: VirtualMachine) -> None:
        self._outcome.save_domain(DomainRecord(machine.domain, machine.identity, machine.paused_by))
