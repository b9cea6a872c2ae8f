"""What each observation leads to: which VM it is about, which rules are in force for it, what its judgement says."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from virtwatch_agent.collect.plan import EXPORTED, demand, scattered
from virtwatch_agent.core.context import Context
from virtwatch_agent.core.culprits import Culprits
from virtwatch_agent.core.explaining import Answers
from virtwatch_agent.core.extras import Extras
from virtwatch_agent.core.inventory import Inventory
from virtwatch_agent.core.objects import OBJECTS, Objects
from virtwatch_agent.core.outcome import Outcome
from virtwatch_agent.core.pools import place_of, pools_of
from virtwatch_agent.core.series_bound import series_bound
from virtwatch_agent.core.timeline import Timeline
from virtwatch_agent.inventory.gaps import ends, migration
from virtwatch_agent.inventory.records import DomainRecord
from virtwatch_agent.journal.store import Restored
from virtwatch_agent.judge.libvirt_object import LibvirtObjectTarget
from virtwatch_agent.judge.migration import Under
from virtwatch_agent.judge.node import Node
from virtwatch_agent.judge.records import adopted
from virtwatch_agent.judge.target import Target
from virtwatch_agent.judge.verdict import Verdict, on_stranger
from virtwatch_agent.judge.virtual_machine import VirtualMachine
from virtwatch_agent.observations import (
    Appeared,
    Asked,
    Cloned,
    ConnectionState,
    DomainState,
    FoundStopped,
    IdentitiesChanged,
    MigrationsSeen,
    NodeChanged,
    ObjectsListed,
    Observation,
    PressureRose,
    Sample,
    StandingsAsked,
    TargetEvent,
    ThresholdsChanged,
    Unwatched,
    Vanished,
)
from virtwatch_agent.seams import Clock, Collector, Telemetry
from virtwatch_api.catalogue.readings import Instrument
from virtwatch_api.nodemonitor import Handover
from virtwatch_api.resolution import EffectiveRule, Resolution
from virtwatch_api.targets import TargetRef
from virtwatch_rules.alerts import LEARNED
from virtwatch_rules.collecting import differing
from virtwatch_rules.inputs import Measured

_LOG = logging.getLogger(__name__)
_MAX_EARLY = 64  # events of domains that were not announced yet
_ENDED_FROM_OUTSIDE = ("shutdown", "destroyed", "lost")
_MISSING_EVERY_S = 5.0  # between looks for what targets do not give
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
        culprits: Culprits,
    ) -> None:
        """`guarded` keeps what fails for one VM from the others; `export_interval` in seconds."""
        self._collector = collector
        self._telemetry = telemetry
        self._outcome = outcome
        self._clock = clock
        self._guarded = guarded
        self._export_interval = export_interval
        self._extras = Extras()
        self._culprits = culprits
        self._timeline = Timeline(clock)
        self._inventory = Inventory(node)
        self._context = Context(self._inventory.windows)
        self._answers = Answers(self._context, timeline=self._timeline, clock=clock)
        self._node = Node(node, self._inventory.windows)
        self._objects = Objects(node, self._inventory.windows)
        self._early: deque[TargetEvent] = deque(maxlen=_MAX_EARLY)
        self._chosen: tuple[Mapping[str, EffectiveRule], frozenset[tuple[str, Instrument]], int] = {}, frozenset(), 0
        self._touched: set[TargetRef] = set()
        self.taught = False  # something that was learned in another place came, and is not on disk yet
        self._look_for_missing_at = 0.0
        self._judges_at = 0.0  # some target, as of the last tick; monotonic seconds

    @property
    def ready(self) -> bool:
        """Return whether policies are known, so that VMs are judged."""
        return self._context.known

    @property
    def judged(self) -> list[Target]:
        """Return the targets that are judged here."""
        return [*self._inventory.machines.values(), *self._objects.targets.values(), self._node]

    def restore(self, restored: Restored) -> None:
        """Take back what was known before a restart."""
        self._timeline.look()  # what was set before is in the timers already
        self._context.restore(restored)
        self._inventory.restore(restored, clock=self._clock.monotonic())
        self._objects.restore(restored, clock=self._clock.monotonic())
        for alert in restored.alerts:
            if alert.key.target == self._node.ref:
                self._node.restore(alert)
        self._node.labels = restored.node_labels
        self._node.appear(at=self._timeline.at(self._clock.monotonic()))
        pods = (item.domain.pod_uid for item in restored.domains if item.identity is not None)
        self._collector.launchers(frozenset(uid for uid in pods if uid))

    @property
    def _targets(self) -> list[Target]:
        return [*self._inventory.machines.values(), *self._objects.targets.values(), self._node]

    def follow_clock(self) -> None:
        """Move all timers along when the clock was set."""
        seconds = self._timeline.look()
        if seconds:
            _LOG.info("the clock was set by %+.1f s; pending timers continue", seconds)
            for target in self._targets:
                target.clock_set(seconds)
                self._touched.add(target.ref)

    def handle(self, observation: Observation) -> None:
        """Take one observation."""
        if isinstance(observation, Sample):  # nearly all are
            self._sample(observation)
            return
        match observation:
            case TargetEvent() | Appeared() | Vanished() | FoundStopped() | MigrationsSeen() | Cloned():
                self._of_domain(observation)
            case ConnectionState():
                self._connection(observation)
            case Unwatched():
                self._context.unwatched(observation)
                self._outcome.changed = True
            case ObjectsListed():
                self._objects_listed(observation)
            case ThresholdsChanged():
                self._thresholds(observation)
            case IdentitiesChanged():
                self._identities(observation)
            case NodeChanged() | PressureRose():
                self._of_node(observation)
            case StandingsAsked() | Asked():
                self._answers.answer(observation, self._targets)

    def _of_node(self, observation: NodeChanged | PressureRose) -> None:
        if isinstance(observation, NodeChanged):
            self._node_changed(observation)
            return
        now = self._clock.monotonic()
        for ref, source in self._extras.roused(observation.resource, now=now):
            self._collector.look_again(ref, source, now)

    def _of_domain(
        self, observation: TargetEvent | Appeared | Vanished | FoundStopped | MigrationsSeen | Cloned
    ) -> None:
        match observation:
            case TargetEvent():
                self._event(observation)
            case Appeared():
                self._appeared(observation)
            case MigrationsSeen():
                self._migrations_seen(observation)
            case Vanished():
                self._vanished(observation)
            case FoundStopped():
                self._inventory.found_stopped(observation)
            case Cloned():
                self._cloned(observation)

    def _sample(self, sample: Sample) -> None:
        if sample.target == self._node.ref:
            self._judge(self._node, sample)
            return
        if sample.target.kind in OBJECTS:
            target = self._objects.targets.get(sample.target)
            if target is not None and target.present:
                self._judge(target, sample)
            return
        machine = self._inventory.machines.get(sample.target.id)
        if machine is None or not machine.present:
            return
        if sample.source.asks_monitor:
            self._see_again(machine, "vm.telemetry_stuck", at=sample.at)
        self._judge(machine, sample, pod_uid=machine.domain.pod_uid)

    def _judge(self, target: Target, sample: Sample, *, pod_uid: str | None = None) -> None:
        sample = self._timeline.placed(sample)
        self._outcome.samples += 1
        if (before := sample.before) is not None:
            until = target.until_glimpse(sample, before, due=self._timeline.at(before.clock))
            if until is not None:
                self._judged(target, until, sample)
        look = target.measure(sample, due=self._timeline.at(sample.clock if sample.due is None else sample.due))
        points = () if look is None else look.points
        self._culprits.measured(target.ref.id, points)
        self._telemetry.sample(target.subject, sample, pod_uid=pod_uid, points=points)
        if look is not None:
            self._judged(target, look, sample)
            again = self._extras.after(target.ref, sample, points, now=self._clock.monotonic())
            if again is not None:
                self._collector.look_again(target.ref, sample.source, again)

    def _judged(self, target: Target, look: Measured, sample: Sample) -> None:
        verdicts = target.judge(look, sample)
        if verdicts or target.awake:  # else the journal holds all that there is of its alerts
            self._emit(target, verdicts)

    def _event(self, event: TargetEvent, *, final: bool = False) -> None:
        """Judge an event; a `final` stop waits for nothing."""
        if event.target.kind in OBJECTS:
            self._object_event(event)
            return
        machine = self._inventory.machines.get(event.target.id)
        if machine is None:
            self._early.append(event)
            return
        if machine.knows(event):
            return
        reason = event.attributes.get("reason", "")
        if event.type == "vm.stopped" and self._inventory.destination(machine, reason):
            event = replace(event, attributes={"reason": "migrated"})  # nobody saw it leave, but it has not stopped
        elif (event.type, reason) == ("vm.stopped", "lost") and machine.migrates and not final:
            self._inventory.await_place(machine, clock=self._clock.monotonic(), stop=event)
            return
        event = _with_cause(event, machine)
        self._outcome.changed = True
        under = machine.migration.under
        for consequence in machine.migration.around(event, running=machine.domain.state is DomainState.RUNNING):
            self._telemetry.event(machine.subject, consequence)
            self._context.received(machine, consequence)
            self._emit(machine, machine.event(consequence))
            self._count(machine, consequence)
        if machine.migration.under is not under:
            self._save_domain(machine)

    def _count(self, machine: VirtualMachine, event: TargetEvent) -> None:
        """Let patterns over all VMs of the node have an event."""
        if machine.resolved:
            rules = list(machine.rules.values())
            self._emit(self._node, self._node.count(event, rules, member=str(machine.subject)))
            self._emit(machine, machine.counted(event, pools_of(machine, event, self._objects)))

    def _appeared(self, appeared: Appeared) -> None:
        uuid = appeared.domain.uuid
        if self._inventory.awaits_place(uuid):  # it is back before the API said where it went
            stop = self._inventory.place_no_more(uuid)
            self._placed(self._inventory.machines[uuid], "", stop, now=appeared.at)
        machine, inferred = self._inventory.appear(appeared)
        self._outcome.changed = True
        self._save_domain(machine)
        self._apply(machine)
        early = [event for event in self._early if event.target.id == uuid]
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
        self._telemetry.forget(machine.ref)
        self._collect_no_more(machine.ref)
        self._context.forget(machine)
        self._outcome.changed = True
        destination = self._inventory.destination(machine, vanished.reason)
        if machine.present and vanished.reason == "migrated" and machine.identity is not None and not destination:
            self._inventory.await_place(machine, clock=self._clock.monotonic())
        if self._inventory.awaits_place(vanished.uuid):
            machine.lose_sight()  # the journal keeps it as it ran: after a restart it is missing, as others that left
            return
        self._part(machine, destination, now=vanished.at)

    def _placed(self, machine: VirtualMachine, to: str, stop: TargetEvent | None, *, now: float) -> None:
        """Judge the end of a VM, which waited for what the API says of where it went."""
        if stop is not None:
            self._event(replace(stop, attributes={"reason": "migrated"}) if to else stop, final=True)
        if to or not machine.present:
            self._part(machine, to, now=now)

    def _part(self, machine: VirtualMachine, to: str, *, now: float) -> None:
        """Let the alerts of a VM that is gone go along with it to the node `to`, or end without one."""
        if to:
            self._inventory.depart(machine, to)
            self._emit(machine, machine.leave(to, now=now))
        else:
            self._emit(machine, machine.vanish(now=now))
        if machine.waits and not machine.known:
            self._inventory.await_name(machine, clock=self._clock.monotonic())
        self._save_domain(machine)

    def _migrations_seen(self, seen: MigrationsSeen) -> None:
        """Infer which live migrations began, or came to nothing, while nobody looked."""
        for machine in [self._inventory.machines[uuid] for uuid in seen.domains if uuid in self._inventory.machines]:
            known, leaving = machine.migration.under is Under.OUT, machine.domain.uuid in seen.leaving
            for event in migration(machine.domain, known=known, leaving=leaving, at=seen.at) if machine.present else ():
                self._event(event)

    def _ended(self, machine: VirtualMachine, found: FoundStopped | None, *, now: float) -> None:
        """Infer the end of a VM that was there before a restart, unless it was reported then."""
        uuid = machine.domain.uuid
        if machine.domain.state is DomainState.STOPPED:
            self._touched.add(machine.ref)
            return
        if self._inventory.came_and_went(machine, at=now):
            self._put_in_force(machine)
        for event in ends(machine.domain, found, at=now) if machine.seen else ():
            self._event(event)
        self._vanished(Vanished(uuid, now, found.reason if found is not None else "lost"))

    def _connection(self, state: ConnectionState) -> None:
        on_it = [item for item in self._inventory.machines.values() if item.domain.connection == state.connection]
        event = self._context.connected(state)
        self._outcome.changed = True
        if event is not None:
            self._emit(self._node, self._node.event(TargetEvent(event, self._node.ref, state.at)))
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

    def _object_event(self, event: TargetEvent) -> None:
        target = self._objects.received(event)
        if target is not None:
            self._outcome.save_object(target.known_as)
            self._outcome.changed = True
            self._telemetry.event(target.subject, event)
            self._emit(target, target.event(event))

    def _objects_listed(self, listing: ObjectsListed) -> None:
        listed = self._objects.listed(listing)
        for target in listed.new:
            self._emit(target, target.appear(at=listing.at))
            self._outcome.save_object(target.known_as)
            self._apply(target)
        for event in listed.events:
            self._object_event(event)
        self._objects_gone(listed.gone, now=listing.at)

    def _objects_gone(self, gone: Iterable[LibvirtObjectTarget], *, now: float) -> None:
        for target in gone:
            target.awaited = False
            self._telemetry.forget(target.ref)
            self._collect_no_more(target.ref)
            self._emit(target, target.vanish(now=now))

    def _thresholds(self, changed: ThresholdsChanged) -> None:
        started = self._clock.time()
        fresh = self._context.thresholds_changed(changed)
        self._outcome.changed = True
        now = self._timeline.at(self._clock.monotonic())
        self._emit(self._node, self._node.join(fresh, self._context.policies, now=now))
        for target in self._targets:
            if not (target.resolved and self._resolve(target).rules is target.rules):
                asked = target.evaluator.asks if target.resolved else None
                self._put_in_force(target)
                if target.evaluator.asks != asked:
                    self._plan(target)
        for thresholds in fresh:
            count = self._context.coverage.machines.get(thresholds.policy, 0)
            self._telemetry.applied(thresholds, started=started, virtual_machines=count)

    def _identities(self, changed: IdentitiesChanged) -> None:
        self._collector.launchers(frozenset(uid for item in changed.identities for uid in item.pod_uids))
        for machine in self._inventory.identify(changed.identities, clock=self._clock.monotonic()):
            self._save_domain(machine)
            self._apply(machine)
            now = self._timeline.at(self._clock.monotonic())
            if machine.present and (event := machine.migration.reported_by_api(machine.identity, machine.ref, at=now)):
                self._event(event)

    def _cloned(self, cloned: Cloned) -> None:
        """Report that a VM of this node was cloned; each agent hears of all clones."""
        for machine in self._inventory.machines.values():
            identity = machine.identity
            if (
                machine.present
                and identity is not None
                and (identity.namespace, identity.name)
                == (
                    cloned.namespace,
                    cloned.name,
                )
            ):
                self._event(TargetEvent("vm.cloned", machine.ref, cloned.at, {"clone": cloned.clone}))

    def _node_changed(self, changed: NodeChanged) -> None:
        if changed.labels != self._context.node_labels:
            self._context.node_labels = self._node.labels = dict(changed.labels)
            self._outcome.save_node_labels(self._context.node_labels)
            self._node.annotations = dict(changed.annotations)
            if self._context.known:
                now = self._timeline.at(self._clock.monotonic())
                self._emit(self._node, self._node.join(self._context.thresholds, self._context.policies, now=now))
            for target in self._targets:
                self._apply(target)
        elif changed.annotations != self._node.annotations:
            self._node.annotations = dict(changed.annotations)
            self._apply(self._node)
        if changed.acknowledged is not None:
            self._outcome.acknowledge(changed.acknowledged)
        for handover in self._outcome.adopt(changed.handovers):
            self._guarded(lambda: self._adopt(handover))  # noqa: B023 - called at once

    def _adopt(self, handover: Handover) -> None:
        """Go on with an alert that came along with its VM."""
        subject = handover.transition.subject
        here = self._inventory.machines.get(subject.target.id)
        if here is not None and here.instance_before(subject):
            self._inventory.succeed(here, subject, clock=self._clock.monotonic())
        elif here is not None and here.other_than(subject):
            self._emit(here, on_stranger(adopted(handover), here.subject.node, now=self._clock.time()))
            return
        machine = self._inventory.expect(subject, clock=self._clock.monotonic())
        record = adopted(handover)
        machine.adopt(record)
        self.taught = self.taught or LEARNED in record.memory
        self._save_domain(machine)
        self._touched.add(machine.ref)
        self._apply(machine)

    def _apply(self, target: Target) -> None:
        """Put the rules in force for a target and let be collected what they need."""
        self._choose_instruments(target)
        self._put_in_force(target)
        self._plan(target)

    def _put_in_force(self, target: Target) -> None:
        """Put the rules in force for a target, as far as both policies and what it is are known."""
        if self._context.known and target.known:
            resolution = self._resolve(target)
            self._context.annotations(target, resolution.problems)
            now = self._timeline.at(self._clock.monotonic())
            waited = target.unjudged if isinstance(target, VirtualMachine) else ()
            self._emit(target, target.apply(resolution, self._context.policies, now=now))
            self._choose_instruments(target)
            for event in waited:
                assert isinstance(target, VirtualMachine)
                self._count(target, event)
        self._context.coverage.note(target)

    def _choose_instruments(self, target: Target) -> None:
        """Let the signals of a target be exported as the policies in force for it want."""
        rules, chosen, series = self._chosen
        if target.rules is not rules:  # targets that the same policies select share their rules
            rules = target.rules
            collections = {effective.thresholds.collection for effective in rules.values()}
            chosen = frozenset(item for collection in collections for item in collection.instruments)
            series, _ = series_bound(rules.values())
            self._chosen = rules, chosen, series
        target.export(self._telemetry.choose(target.ref, chosen, series=series))

    def _plan(self, target: Target) -> None:
        if target.present:
            judge = target.evaluator
            # A VM's are read in any case: they show whether its QEMU is stopped.
            anyway = self._telemetry.exports_samples or isinstance(target, VirtualMachine)
            exported = dict.fromkeys(EXPORTED.get(target.ref.kind, ()) if anyway else (), self._export_interval)
            intervals = judge.intervals
            wanted = demand(intervals, judge.event_types, exported=exported)
            self._collector.scatter(target.ref, scattered(judge.asked(), wanted))
            self._collector.plan(target.ref, wanted)
            self._collector.glance(target.ref, self._extras.plan(target, wanted))
            target.differing = differing(judge.asked())
            self._culprits.watch(target, intervals)

    def _collect_no_more(self, ref: TargetRef) -> None:
        """Let nothing be asked of a target that is gone: who collects keeps it else for ever."""
        self._collector.plan(ref, {})
        self._collector.glance(ref, {})
        self._extras.forget(ref)

    def _resolve(self, target: Target) -> Resolution:
        """Return the rules for a target: the same object as long as nothing changed for it."""
        return self._context.rulebook.resolve(target.ref, target.selector_identity)

    def _emit(self, target: Target, verdicts: Iterable[Verdict]) -> None:
        machine = target if isinstance(target, VirtualMachine) else None
        paused_by = machine.paused_by if machine is not None else ""
        for verdict in verdicts:
            self._outcome.take(target, verdict if machine is None else self._explained(machine, verdict))
        if machine is not None and machine.paused_by != paused_by:
            self._save_domain(machine)
        self._touched.add(target.ref)
        self._context.coverage.note(target)

    def _explained(self, machine: VirtualMachine, verdict: Verdict) -> Verdict:
        """Let an alert say who took what its VM lacks, and where its disk lies, here and as long as it fires."""
        named = self._culprits.named(machine, verdict, self._inventory.machines.values())
        if place := place_of(machine, verdict.key.device):
            named = replace(named, evidence=replace(named.evidence, place=place))
        if named is not verdict and named.alert is not None:
            named.alert.evidence = named.evidence
        return named

    def tick(self) -> None:
        """Let time pass."""
        for machine in self._culprits.tick(self._inventory.machines.values()):
            self._touched.add(machine.ref)  # the journal keeps what the alert says, too
            self._outcome.changed = True
        clock = self._clock.monotonic()
        now = self._timeline.at(clock)
        for machine, to, stop in self._inventory.placed(clock=clock):
            self._placed(machine, to, stop, now=now)
        lost, judging = self._context.lost, self._context.known
        for uuid, found in self._inventory.missing(clock=clock, lost=lost, judging=judging).items():
            self._ended(self._inventory.machines[uuid], found, now=now)
        self._touched.update(machine.ref for machine in self._inventory.unnamed(clock=clock))
        self._objects_gone(self._objects.missing(clock=clock), now=now)
        while self._early and self._early[0].at < now - _EARLY_S:
            self._early.popleft()
        soonest = float("inf")
        for target in self._targets:
            if (due := target.tick_at) <= now:
                self._guarded(lambda: self._passed(target, now))  # noqa: B023 - called at once
                due = target.tick_at
            soonest = min(soonest, due)
        self._judges_at = clock + (soonest - now)
        if clock >= self._look_for_missing_at:
            self._look_for_missing_at = clock + _MISSING_EVERY_S
            self._outcome.changed |= self._context.look_for_missing(self._targets, clock=clock)

    def _passed(self, target: Target, now: float) -> None:
        verdicts = target.tick(now=now)
        if verdicts or target.awake:
            self._emit(target, verdicts)

    @property
    def tick_at(self) -> float:
        """Return before when `tick` and `settle` have nothing to do, unless something happens; monotonic seconds."""
        if self._early or self._inventory.waits or self._objects.waits or self._touched:
            return float("-inf")
        return min(self._judges_at, self._look_for_missing_at, self._culprits.tick_at, self._outcome.settle_at)

    def settle(self) -> None:
        """Write what this turn changed, then publish it: never the other way round."""
        touched, self._touched = self._touched, set()
        for ref in touched:
            if ref == self._node.ref:
                self._outcome.note(self._node)
            elif (target := self._objects.targets.get(ref)) is not None:
                self._settle_object(target)
            elif (machine := self._inventory.machines.get(ref.id)) is not None:
                self._settle_machine(machine)
        self._outcome.settle(lambda: tuple(self._targets), self._context)

    def _settle_machine(self, machine: VirtualMachine) -> None:
        """Note a VM's alerts, or forget it when it is gone and has none left."""
        self._outcome.note(machine)
        to_be_judged = machine.waits and machine.known and not self._context.known
        expected = machine.present or to_be_judged or self._inventory.awaits(machine.ref.id)
        if not expected and not any(machine.records()):
            self._context.rulebook.forget(machine.ref)
            self._extras.forget(machine.ref)
            self._inventory.forget(machine.ref.id)
            self._culprits.forget(machine.ref.id)
            self._outcome.forget(machine.ref.id)

    def _settle_object(self, target: LibvirtObjectTarget) -> None:
        self._outcome.note(target)
        if not (target.present or target.awaited or any(target.records())):
            self._context.rulebook.forget(target.ref)
            self._objects.forget(target.ref)
            self._outcome.forget_object(target.ref)

    def _save_domain(self, machine: VirtualMachine) -> None:
        self._outcome.save_domain(
            DomainRecord(machine.domain, machine.identity, machine.paused_by, machine.migration.under)
        )


def _with_cause(event: TargetEvent, machine: VirtualMachine) -> TargetEvent:
    """Say of a VM that stopped whether the Kubernetes API ended it."""
    leaving = machine.identity.leaving if machine.identity is not None else ""
    if event.type != "vm.stopped" or not leaving or "cause" in event.attributes:
        return event
    if event.attributes.get("reason") not in _ENDED_FROM_OUTSIDE:
        return event
    return replace(event, attributes={**event.attributes, "cause": leaving})
