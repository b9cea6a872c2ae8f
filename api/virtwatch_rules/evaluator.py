"""The rules of one target: observations and times come in, verdicts go out; agent, operator and command use it."""

import json
import math
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import lru_cache
from itertools import chain

from virtwatch_api.alert import INACTIVE, Reason, hand_over, resolve
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.nodemonitor import Evidence
from virtwatch_api.policy import Collection as Collecting
from virtwatch_api.policy import Enforcement, Mode, PolicyKey
from virtwatch_api.resolution import EffectiveRule
from virtwatch_rules.alerts import ABSENT_SINCE, LEARNED, LOCAL, OUTLIVES, Alert, Document, Said, Saved, merge
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.engine import NEVER, Engine, Judge, Learning, Watch, Woken
from virtwatch_rules.inputs import Event, Input, Measured, Wants
from virtwatch_rules.registry import engine_of
from virtwatch_rules.store import Store
from virtwatch_rules.verdict import AlertName, Explained, Record, Verdict

_CONTINUOUS_S = 1.0
_ROUNDING = 1e-9
_UNPLUGGED_S = 30.0  # without a device whose target has others: a file that cannot be read once is not enough
_MOST_LEARNED = 6  # documents that go along with one target beside its alerts
MOST_MEMORY = 16_384  # characters of each, as NodeMonitor has room for
_MOST_EVENTS = 32  # that wait for rules, and that an alert which comes late is held against


def base_interval(collection: Collecting) -> float:
    """Return the seconds between looks that a policy asks for; its rules may need more."""
    if collection.mode is Mode.CONTINUOUS:
        return min(_CONTINUOUS_S, collection.interval)
    if collection.mode is Mode.SAMPLED:
        return collection.interval * math.ceil(1 / collection.share - _ROUNDING)  # until a VM has its turn again
    return collection.interval


# Who took samples in a turn: as of when, and which of its judges must look at what.
_Taken = dict["Evaluator", tuple[float, Mapping[Judge, Sequence[Watch]]]]


class Evaluator:
    """Judge one target. Alerts that come before its rules are known wait for them, and so do events."""

    def __init__(self, budget: WindowBudget) -> None:
        """`budget` is shared by all evaluators of a process."""
        self.present = False
        self.resolved = False  # its rules are known
        self.rules: Mapping[str, EffectiveRule] = {}
        self.policies: frozenset[PolicyKey] = frozenset()  # whose rules are in force
        self.asks = 0  # moves when what its rules ask for changes: `intervals`, `event_types`
        self._store = Store(budget)
        self._in_force: dict[tuple[PolicyKey, str], Judge] = {}
        # Those that may have an alert, or wait for an instant: of many rules most sleep.
        self._awake: dict[Judge, None] = {}
        self._learners: dict[Judge, None] = {}  # those that learn their target
        self._ways: Counter[tuple[Collecting, float]] = Counter()  # in which rules want to be sampled
        self._listening: dict[str, dict[Judge, None]] = {}  # by type of event
        self._counted: Counter[str] = Counter()  # types of events that are judged together with other targets'
        self._waiting: dict[AlertName, Saved] = {}
        self._taught: dict[tuple[PolicyKey, str], list[Document]] = {}
        self._events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._newest: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._devices: dict[Set[str], dict[str, float]] = {}
        self._held_until = float("-inf")

    @property
    def intervals(self) -> Mapping[str, float]:
        """Return how often (seconds) each signal is wanted, for the planner."""
        return self._store.intervals

    def asked(self) -> Iterator[tuple[EffectiveRule, Input]]:
        """Yield what each rule asks to be sampled: the planner adds it up and says who asked."""
        for judge in self._in_force.values():
            for wanted in judge.wants.inputs:
                yield judge.effective, wanted

    def rules_on(self, event_type: str) -> Iterator[EffectiveRule]:
        """Yield the rules that want a type of event."""
        for judge in self._listening.get(event_type, ()):
            yield judge.effective

    @property
    def event_types(self) -> frozenset[str]:
        """Return the types of events that some rule wants."""
        return frozenset((*self._listening, *self._counted))

    @property
    def waits(self) -> bool:
        """Return whether events wait until the rules are known."""
        return bool(self._events)

    def apply(
        self,
        rules: Mapping[str, EffectiveRule],
        policies: Collection[PolicyKey],
        *,
        at: float,
        changed: Iterable[str] | None = None,
    ) -> Iterator[Verdict]:
        """Put rules in force; alerts whose rule still stands continue, the others end. `policies` are those that exist.

        `changed` names the rules that may differ from those in force; None for any.
        """
        before, self.rules, self.resolved = self.rules, rules, True
        names = [*before, *(name for name in rules if name not in before)] if changed is None else list(changed)
        pairs = [(before.get(name), rules.get(name)) for name in names]
        left = [item for item, now in pairs if item is not None and item is not now]
        came = [item for was, item in pairs if item is not None and item is not was]
        standing = {item.key: item for item in came}
        for key in [item.key for item in left]:
            effective = standing.get(key)
            if key in self._in_force and (effective is None or not self._renew(self._in_force[key], effective)):
                yield from self._retire(key, _gone(key[0], policies), at=at)
        for key, effective in standing.items():
            if key not in self._in_force:
                self._put(key, effective, at=at)
        self._cover([*left, *came])
        self._taught = {}  # of rules that are gone
        recalled = list(self._recall(at=at))
        yield from self._end_waiting(policies, at=at)
        if self.present:
            placed = (self._in_force[key] for key in standing if key in self._in_force)
            self._expect([*placed, *(judge for judge, _ in recalled)], at)
        for judge, alert in recalled:
            for said in judge.recent(alert, self._newest):
                yield _verdict(judge, said)
        waited = list(self._events)
        self._events.clear()
        for event in waited:
            yield from self.event(event)

    def unresolve(self) -> None:
        """Judge nothing until rules are applied again: what the target is has to be found out again. Alerts stay."""
        self.resolved = False

    def hold(self, until: float) -> None:
        """Take samples but judge nothing until then: the target's alerts are still on their way."""
        self._held_until = max(self._held_until, until)

    def measured(self, look: Measured) -> Iterable[Verdict]:
        """Judge what one look gave; what one kind of rule says is there before the next kind is judged."""
        taken: _Taken = {}
        early = self.take(look, taken)
        return chain(early, (verdict for _, verdict in _judge_taken(taken))) if taken else early

    def event(self, event: Event) -> Iterator[Verdict]:
        """Judge an event; one that comes before the rules are known waits for them."""
        if not self.resolved:
            self._events.append(event)
            return
        if event.type.endswith(".started"):
            self._newest.clear()
        self._newest.append(event)
        for judge in list(self._listening.get(event.type, ())):
            self._awake[judge] = None
            for said in judge.event(event, absent=not self.present):
                yield _verdict(judge, said)

    @property
    def awake(self) -> bool:
        """Return whether some rule may have an alert, or has had one until now; the others sleep."""
        return bool(self._awake)

    @property
    def tick_at(self) -> float:
        """Return before when `tick` has nothing to do, unless something happens."""
        if not self.present:
            soonest = NEVER
        elif self.resolved:
            soonest = max(self._store.check_at, self._held_until)
        else:
            return NEVER
        if self._awake:
            soonest = min([soonest, *(judge.tick_at for judge in self._look_awake())])
        return soonest

    @property
    def series_due_at(self) -> float:
        """Return before when no sample is missed: all that samples which come can bring forward."""
        return self._store.check_at

    def due_at(self, *, silent: bool) -> float:
        """Return the same where no clock is ever set back; `silent` where samples that do not come change nothing."""
        if not self.present or not self.resolved:
            return self.tick_at
        series = NEVER if silent else self.series_due_at
        return min([series, *(judge.due_at for judge in self._look_awake())]) if self._awake else series

    def tick(self, *, at: float, silent: bool = False) -> Iterable[Verdict]:
        """Let time pass: samples that did not come (unless `silent`: they change nothing), alerts that end."""
        if self.present and not self.resolved:
            return ()
        counts = self.present and not silent and at >= self._held_until
        return self._tick(at, counts=counts) if self._awake or (counts and self._store.overdue(at=at)) else ()

    def _tick(self, at: float, *, counts: bool) -> Iterator[Verdict]:
        if counts:
            for woken in self._store.miss(at=at):
                yield from self._judge_now(woken)
        for judge in self._look_awake():
            if judge.tick_at <= at:
                for said in judge.tick(at=at):
                    yield _verdict(judge, said)

    def appear(self, *, at: float) -> Iterator[Verdict]:
        """Note that the target is there; if it was not, silence counts from now on."""
        self._waiting = {name: _without_absence(saved) for name, saved in self._waiting.items()}
        self._wake_all()
        for judge in list(self._in_force.values()):
            for said in judge.appear(at=at):
                yield _verdict(judge, said)
        if not self.present:
            self.present = True
            self._expect(self._in_force.values(), at)

    def vanish(self, *, at: float, seen: bool = True) -> Iterator[Verdict]:
        """End what is about a target that runs; `seen` tells whether it was ever here."""
        self._forget_target()
        self._wake_all()
        for judge in list(self._in_force.values()):
            for said in judge.vanish(at=at):
                yield _verdict(judge, said)
        for name, saved in list(self._waiting.items()):
            if saved.memory.get(OUTLIVES) and not saved.memory.get(LOCAL) and seen:
                self._waiting[name] = replace(saved, memory={**saved.memory, ABSENT_SINCE: at})
            else:
                del self._waiting[name]
                yield from _ended(name, saved, Reason.DOMAIN_STOPPED, at=at)

    def lose_sight(self) -> None:
        """Take no samples until `vanish` or `leave` says what became of the target; alerts stand."""
        self.present = False

    def leave(self, *, at: float) -> Iterator[Verdict]:
        """Let the alerts go with the target to another place; those about how this place sees it end."""
        going = list(self.records())
        learned = list(self._handed_over())
        self._forget_target()
        self._newest.clear()
        self._waiting = {}
        self._wake_all()
        for judge in self._in_force.values():
            judge.leave(at=at)
        for record in going:
            if record.saved.memory.get(LOCAL):
                yield from _ended(record.name, record.saved, Reason.DOMAIN_STOPPED, at=at)
            else:
                change = hand_over(record.saved.state, now=at)
                yield Verdict(record.name, change, record.saved.evidence, saved=record.saved)
        for record in learned:
            yield Verdict(record.name, hand_over(INACTIVE, now=at), record.saved.evidence, saved=record.saved)

    def restore(self, name: AlertName, saved: Saved) -> None:
        """Take back an alert from before a restart or from another place: it waits for the next `apply`."""
        here = self._waiting.get(name)
        self._waiting[name] = saved if here is None else merge(here, saved)

    def records(self) -> Iterator[Record]:
        """Yield what must survive a restart: every enforced alert that is pending or fires."""
        for name, saved in self._waiting.items():
            yield Record(name, saved)
        for judge in self._look_awake():
            for alert in judge.alerts.values() if _enforced(judge) else ():
                if alert.state != INACTIVE:
                    yield Record(_name(judge, alert.device), alert.saved())

    def learning(self) -> Iterator[tuple[PolicyKey, Learning]]:
        """Yield how far each rule that learns its target has come."""
        for judge in self._learners:
            if (learning := judge.learning) is not None:
                yield judge.effective.key[0], learning

    def learned(self, *, within: float = float("inf")) -> Iterator[tuple[PolicyKey, str, Document]]:
        """Yield what the rules have learned beside their alerts, to be kept or handed over: policy, rule, document.

        `within` (seconds) leaves out rules of which more may be lost.
        """
        for (policy, rule), documents in self._taught.items():
            yield policy, rule, documents[-1]
        for (policy, rule), judge in self._in_force.items():
            if judge.save_within <= within and (learned := judge.save()) is not None:
                yield policy, rule, learned

    def teach(self, policy: PolicyKey, rule: str, document: Document) -> None:
        """Take back what a rule has learned before a restart or in another place; it waits until the rule applies."""
        judge = self._in_force.get((policy, rule))
        if judge is not None:
            self._awake[judge] = None
            judge.restore(document)
        else:
            self._taught.setdefault((policy, rule), []).append(document)

    def alerts(self) -> Iterator[tuple[AlertName, Alert, EffectiveRule]]:
        """Yield the alerts that are pending or fire, of policies that only observe too."""
        for judge in self._look_awake():
            for alert in judge.alerts.values():
                if alert.state != INACTIVE:
                    yield _name(judge, alert.device), alert, judge.effective

    def evidence(self, name: AlertName) -> Evidence | None:
        """Say by what an alert is judged now; None when there is no such alert."""
        judge = self._in_force.get((name.policy, name.rule))
        alert = judge.alerts.get(name.device) if judge is not None else None
        return judge.evidence(alert) if judge is not None and alert is not None else None

    def explain(self, *, at: float) -> Iterator[Explained]:
        """Say how each alert stands and what comes next, also of those that are neither pending nor fire."""
        for judge in self._in_force.values():
            for device in judge.devices():
                alert = judge.alerts.get(device) or Alert(device)
                yield Explained(_name(judge, device), alert.state, judge.evidence(alert), judge.next_step(alert, at=at))

    def clock_set(self, seconds: float) -> None:
        """Let all timers continue though the clock was set by `seconds`."""
        self._held_until += seconds
        self._store.clock_set(seconds)
        self._waiting = {name: saved.moved(seconds) for name, saved in self._waiting.items()}
        for devices in self._devices.values():
            for device in devices:
                devices[device] += seconds
        for judge in self._in_force.values():
            judge.clock_set(seconds)

    def _wake_all(self) -> None:
        self._awake.update(dict.fromkeys(self._in_force.values()))

    def _look_awake(self) -> list[Judge]:
        """Return who has an alert or waits for an instant; the others sleep until they are called."""
        awake = [judge for judge in self._awake if judge.alerts or judge.tick_at < NEVER]
        if len(awake) < len(self._awake):
            self._awake = dict.fromkeys(awake)
        return awake

    def _renew(self, judge: Judge, effective: EffectiveRule) -> bool:
        thresholds, body = effective.thresholds, effective.rule.body
        was, before = judge.effective, judge.wants
        if thresholds.enforcement is not was.thresholds.enforcement or type(body) is not type(was.rule.body):
            return False
        wants = _shared(_engine(judge).wants(body, interval=base_interval(thresholds.collection)))
        if not judge.renew(body, wants):
            return False
        self._awake[judge] = None
        judge.effective = effective
        self._ask(judge, (was.thresholds.collection, before), (thresholds.collection, judge.wants))
        return True

    def _put(self, key: tuple[PolicyKey, str], effective: EffectiveRule, *, at: float) -> None:
        body = effective.rule.body
        engine = engine_of(body)
        if engine is not None:
            wants = _shared(engine.wants(body, interval=base_interval(effective.thresholds.collection)))
            judge = engine.open(body, wants, at=at)
            judge.effective = effective
            self._in_force[key] = judge
            if judge.learns:
                self._learners[judge] = None
            self._awake[judge] = None
            for taught in self._taught.pop(key, ()):
                judge.restore(taught)
            collection = effective.thresholds.collection
            self._ask(judge, (collection, Wants()), (collection, judge.wants))

    def _retire(self, key: tuple[PolicyKey, str], reason: Reason, *, at: float) -> Iterator[Verdict]:
        judge = self._in_force.pop(key)
        self._awake.pop(judge, None)
        self._learners.pop(judge, None)
        collection = judge.effective.thresholds.collection
        self._ask(judge, (collection, judge.wants), (collection, Wants()))
        for said in judge.end(reason, at=at):
            yield _verdict(judge, said)

    def _ask(self, judge: Judge, was: tuple[Collecting, Wants], will: tuple[Collecting, Wants]) -> None:
        """Give a judge what it wants now, in place of what it wanted before."""
        if was == will:
            return
        (_, before), (_, now) = was, will
        changed = self._store.change(judge, before.inputs, now.inputs) if before != now else False
        changed |= self._count_ways(was, will)
        for name in before.events - now.events:
            del self._listening[name][judge]
            if not self._listening[name]:
                del self._listening[name]
                changed = True
        for name in now.events - before.events:
            changed |= name not in self._listening
            self._listening.setdefault(name, {})[judge] = None
        if before.counted != now.counted:
            had = set(self._counted)
            self._counted.update(now.counted)
            self._counted.subtract(before.counted)
            self._counted = +self._counted
            changed |= had != set(self._counted)
        self.asks += changed

    def _count_ways(self, was: tuple[Collecting, Wants], will: tuple[Collecting, Wants]) -> bool:
        """Count in how many ways its rules want to be sampled; while there is but one, no rule changes the plan."""
        before = set(self._ways)
        for (collection, wants), more in ((was, -1), (will, 1)):
            for wanted in wants.inputs:
                self._ways[collection, wanted.interval] += more
        self._ways = +self._ways
        return len(self._ways) > 1 or before != set(self._ways)

    def _cover(self, touched: Iterable[EffectiveRule]) -> None:
        """Note whether rules of these policies are in force now."""
        sets = {item.thresholds.policy: item.thresholds for item in touched}
        found = ((policy, self.rules.get(rule.name)) for policy, item in sets.items() for rule in item.rules)
        here = {policy for policy, item in found if item is not None and item.thresholds.policy == policy}
        if not here <= self.policies or (sets.keys() - here) & self.policies:
            self.policies = _shared_policies(self.policies.difference(sets).union(here))

    def _recall(self, *, at: float) -> Iterator[tuple[Judge, Alert]]:
        for name, saved in list(self._waiting.items()):
            judge = self._in_force.get((name.policy, name.rule))
            if judge is not None and _enforced(judge):
                del self._waiting[name]
                self._awake[judge] = None
                judge.recall(saved, at=at)
                yield judge, judge.alerts[name.device]

    def _end_waiting(self, policies: Collection[PolicyKey], *, at: float) -> Iterator[Verdict]:
        waiting, self._waiting = self._waiting, {}
        for name, saved in waiting.items():
            yield from _ended(name, saved, _gone(name.policy, policies), at=at)

    def _expect(self, judges: Iterable[Judge], at: float) -> None:
        """Let silence count from now on, where it is known which series are to come."""
        for judge in judges:
            for asked in judge.wants.inputs:
                if not SIGNAL[asked.signal].per_device:
                    self._store.expect(asked.signal, "", at=at)
                for device in judge.alerts:
                    if device:
                        self._store.expect(asked.signal, device, at=at)

    def _forget_target(self) -> None:
        self.present = False
        self._store.clear()
        self._devices = {}

    def _handed_over(self) -> Iterator[Record]:
        """Yield what goes along with a target of what its rules have learned; what is too large is learned again."""
        left = _MOST_LEARNED
        for (policy, rule), judge in self._in_force.items():
            for number, document in enumerate(judge.parts()):
                memory = {LEARNED: document}
                if left == 0 or len(json.dumps(memory, separators=(",", ":"))) > MOST_MEMORY:
                    continue
                left -= 1
                device = f"{LEARNED}.{number}"
                yield Record(AlertName(policy, rule, device), Saved(device, INACTIVE, Evidence(LEARNED), memory))

    def _judge_now(self, woken: Woken) -> Iterator[Verdict]:
        self._awake[woken.judge] = None
        for judge, said in _engine(woken.judge).points([woken]):
            yield _verdict(judge, said)

    def take(self, look: Measured, taken: _Taken) -> Sequence[Verdict]:
        """Take a look's samples and note who must judge them. `judge_turn` is who calls it."""
        early: list[Verdict] = []
        if not self.resolved or not self.present:
            return early
        held = look.due < self._held_until

        def catch_up(missed: Iterator[Woken]) -> None:
            for woken in missed:
                if not held:
                    early.extend(self._judge_now(woken))

        woken = self._store.take(look, catch_up)
        if woken and not held:
            self._awake.update(dict.fromkeys(woken))
            taken[self] = look.due, woken
        if look.devices:
            early += self._gone_devices(look)
        return early

    def _gone_devices(self, look: Measured) -> Iterator[Verdict]:
        """End alerts of devices that the target has no more, which nothing else would ever end."""
        known = self._devices.setdefault(look.signals, {})
        for device in look.devices:
            known[device] = look.due
        if len(known) == len(look.devices):
            return
        for device, there in list(known.items()):
            if look.due - there < _UNPLUGGED_S:
                continue
            del known[device]
            for watch in self._store.gone(look.signals, device):
                watch.judge.detach(watch)
                for said in watch.judge.gone(device, at=look.due):
                    yield _verdict(watch.judge, said)


def judge_turn(looks: Iterable[tuple[Evaluator, Measured]]) -> Iterator[tuple[Evaluator, Verdict]]:
    """Judge the looks of one turn, at any number of targets, in one batch per engine."""
    taken: _Taken = {}
    for evaluator, look in looks:
        if evaluator in taken:  # its windows must not move on before they are judged
            yield from _judge_taken(taken)
            taken = {}
        for verdict in evaluator.take(look, taken):
            yield evaluator, verdict
    yield from _judge_taken(taken)


def _judge_taken(taken: _Taken) -> Iterator[tuple[Evaluator, Verdict]]:
    batches: dict[type[Judge], list[Woken]] = {}
    for due, woken in taken.values():
        for judge, watches in woken.items():
            batches.setdefault(type(judge), []).append(Woken(judge, watches, due))
    owners: dict[Judge, Evaluator] = {}
    for batch in batches.values():
        for judge, said in _engine(batch[0].judge).points(batch):
            # Found only once something is said, which is rare.
            owners = owners or {judge: evaluator for evaluator, (_, woken) in taken.items() for judge in woken}
            yield owners[judge], _verdict(judge, said)


def _engine(judge: Judge) -> Engine:
    engine = engine_of(judge.effective.rule.body)
    assert engine is not None  # it opened this judge
    return engine


def _enforced(judge: Judge) -> bool:
    return judge.effective.thresholds.enforcement is Enforcement.ENFORCE


def _name(judge: Judge, device: str) -> AlertName:
    policy, rule = judge.effective.key
    return AlertName(policy, rule, device)


def _verdict(judge: Judge, said: Said) -> Verdict:
    return Verdict(
        _name(judge, said.alert.device),
        said.change,
        said.evidence,
        enforced=_enforced(judge),
        effective=judge.effective,
        alert=said.alert,
    )


@lru_cache(1024)
def _shared(wants: Wants) -> Wants:
    """Return one object for all that are equal: a rule is judged for many targets."""
    return wants


@lru_cache(64)
def _shared_policies(policies: frozenset[PolicyKey]) -> frozenset[PolicyKey]:
    """Return one object for all targets of the same policies."""
    return policies


def _gone(policy: PolicyKey, policies: Collection[PolicyKey]) -> Reason:
    return Reason.POLICY_CHANGED if policy in policies else Reason.POLICY_DELETED


def _ended(name: AlertName, saved: Saved, reason: Reason, *, at: float) -> list[Verdict]:
    """End an alert that waited; one that was pending ends without a word."""
    _, change = resolve(saved.state, now=at, reason=reason)
    return [] if change is None else [Verdict(name, change, saved.evidence)]


def _without_absence(saved: Saved) -> Saved:
    if saved.memory.get(ABSENT_SINCE) is None:
        return saved
    return replace(saved, memory={**saved.memory, ABSENT_SINCE: None})
