"""Names, in an alert on a VM's run delay, who had the CPUs that the VM waits for.

Nothing is looked at while no rule asks for run delay. While none of its VMs waits, all threads are looked at once a
minute, so that an alert that fires at once has something to compare with; while one waits, each five seconds. That may
take 1 % of a CPU. An alert that fires has them looked at once more, which may take 5 % while alerts fire.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from virtwatch_agent.inventory.processes import process_number
from virtwatch_agent.judge.target import Target
from virtwatch_agent.judge.verdict import Verdict
from virtwatch_agent.judge.virtual_machine import VirtualMachine
from virtwatch_agent.seams import Clock, HostThreads
from virtwatch_api.alert import Action
from virtwatch_api.culprit import ANOTHER_VM, OTHER_PROCESSES, named_process, named_vm, write_culprit
from virtwatch_api.policy import PolicyKind, ThresholdRule
from virtwatch_api.resolution import EffectiveRule
from virtwatch_rules.contention import Contention, Look, contention, own_limit
from virtwatch_rules.inputs import Point

_DELAY, _WORST, _THROTTLED = "vm.cpu.delay.ratio", "vm.cpu.worst.delay.ratio", "vm.cpu.throttled.ratio"
_ON_DELAY = frozenset({_DELAY, _WORST})
_FOLLOWED = frozenset({_DELAY, _WORST, _THROTTLED})
_WAITS = 0.02  # of the time that a VM wants to run: below it nobody is in the way
_WAITING_S = 30.0  # for which it is looked at more often after a VM waited
_OFTEN_S, _SELDOM_S = 5.0, 60.0
_MOST_LOOKS = 13
_MOST_OWED = 64
_LEAST_SPAN_S, _FRESH_S, _SHORTEST_S = 5.0, 1.0, 0.3
_REGULARLY, _ON_ALERTS = 0.01, 0.05  # of a CPU


class Culprits:
    """Know who ran on the CPUs of this host of late."""

    def __init__(self, threads: HostThreads, clock: Clock) -> None:
        self._threads = threads
        self._clock = clock
        self._machines: dict[str, dict[str, float]] = {}  # how long each waits, by its newest sample
        self._looks: deque[Look] = deque(maxlen=_MOST_LOOKS)
        self._owed: list[tuple[VirtualMachine, Verdict]] = []
        self._busy_until = self._next = float("-inf")

    def watch(self, target: Target, signals: Iterable[str]) -> None:
        """Note which signals the rules of a target ask for."""
        if not isinstance(target, VirtualMachine):
            return
        if _ON_DELAY.isdisjoint(signals) or not target.present:
            self._machines.pop(target.ref.id, None)
            target.follow(frozenset())
        elif target.ref.id not in self._machines:
            self._machines[target.ref.id] = {}
            target.follow(_FOLLOWED)

    def forget(self, uuid: str) -> None:
        """Drop a VM."""
        self._machines.pop(uuid, None)
        if not self._machines:
            self._looks.clear()

    def measured(self, uuid: str, points: Iterable[Point]) -> None:
        """Note how long a VM waits, by the points of a sample."""
        values = self._machines.get(uuid)
        if values is None:
            return
        for signal, _, value in points:
            if signal not in _FOLLOWED:
                continue
            values[signal] = value or 0.0
            if signal in _ON_DELAY and values[signal] >= _WAITS:
                self._busy_until = self._clock.monotonic() + _WAITING_S
                soon = max(_OFTEN_S, self._threads.cost / _REGULARLY)
                self._next = min(self._next, (self._looks[-1].at if self._looks else 0.0) + soon)

    @property
    def tick_at(self) -> float:
        """Return before when `tick` has nothing to do, unless an alert fires; monotonic seconds."""
        if self._owed:
            return float("-inf")
        return self._next if self._machines else float("inf")

    def tick(self, machines: Collection[VirtualMachine]) -> list[VirtualMachine]:
        """Look, if it is time; return the VMs whose alert fired before there were two looks and says more by that."""
        now = self._clock.monotonic()
        late = bool(self._owed and self._looks) and now - self._looks[-1].at > _SHORTEST_S
        if self._machines and (late or now >= self._next):
            self._look()
        if not late:
            return []
        owed, self._owed = self._owed, []
        better = []
        for machine, verdict in owed:
            alert, culprit = verdict.alert, self.named(machine, verdict, machines).evidence.culprit
            if culprit and alert is not None and alert.state.firing:
                alert.evidence = replace(alert.evidence, culprit=culprit)
                better.append(machine)
        return better

    def named(self, machine: VirtualMachine, verdict: Verdict, machines: Collection[VirtualMachine]) -> Verdict:
        """Return a verdict on run delay that got worse with who had the CPUs, as far as its policy may see that."""
        worse = verdict.change.action in (Action.FIRED, Action.ESCALATED)
        if not worse or verdict.evidence.subject not in _ON_DELAY:
            return verdict
        everyone = verdict.key.policy.kind is PolicyKind.CLUSTER_MONITOR_POLICY
        namespace = None if everyone else verdict.key.policy.namespace or ""
        found = self._contention(machine, machines, namespace, seconds=_reach(verdict.effective))
        if len(self._looks) == 1 and len(self._owed) < _MOST_OWED:
            self._owed.append((machine, verdict))
        if found is None or not found.gains:
            return verdict
        culprit = write_culprit([(gain.name, gain.share) for gain in found.gains])
        return replace(verdict, evidence=replace(verdict.evidence, culprit=culprit))

    def _contention(
        self,
        machine: VirtualMachine,
        machines: Iterable[VirtualMachine],
        namespace: str | None,
        *,
        seconds: float,
    ) -> Contention | None:
        waits, process = self._machines.get(machine.ref.id), _process(machine)
        if waits is None or process is None:
            return None
        delay = max(waits.get(_DELAY, 0.0), waits.get(_WORST, 0.0))
        if own_limit(delay=delay, throttled=waits.get(_THROTTLED, 0.0)):
            return None
        now = self._clock.monotonic()
        old_enough = max(_FRESH_S, self._threads.cost / _ON_ALERTS) if len(self._looks) > 1 else _SHORTEST_S
        if not self._looks or now - self._looks[-1].at > old_enough:
            self._look()
        looks = [look for look in self._looks if look.at >= now - max(seconds, _LEAST_SPAN_S)]
        looks = looks if len(looks) > 1 else list(self._looks)[-2:]
        if len(looks) < 2:
            return None  # nothing to compare with yet
        known = {found: _called(other, namespace) for other in machines if (found := _process(other)) is not None}
        return contention(
            looks,
            target=process,
            cpus=self._threads.allowed_cpus(process),
            machines=known,
            names=self._names(looks[-1], known, namespace),
        )

    def _names(self, look: Look, machines: Mapping[int, str], namespace: str | None) -> Mapping[int, str]:
        others = {thread.process for thread in look.threads.values()} - machines.keys()
        if namespace is not None:
            return dict.fromkeys(others, OTHER_PROCESSES)
        return {process: named_process(name) for process, name in self._threads.names(others).items()}

    def _look(self) -> None:
        now = self._clock.monotonic()
        self._looks.append(self._threads.look(at=now))
        every = _OFTEN_S if now < self._busy_until else _SELDOM_S
        self._next = now + max(every, self._threads.cost / _REGULARLY)


def _process(machine: VirtualMachine) -> int | None:
    """Return the number of a VM's QEMU process where this host runs it."""
    return process_number(machine.domain.incarnation) if machine.present else None


def _called(machine: VirtualMachine, namespace: str | None) -> str:
    subject = machine.subject
    if namespace is not None and subject.namespace != namespace:
        return ANOTHER_VM
    return named_vm(str(subject))


def _reach(effective: EffectiveRule | None) -> float:
    """Return over how many seconds what fires now was judged."""
    body = effective.rule.body if effective is not None else None
    return body.aggregate.window + body.timing.for_ if isinstance(body, ThresholdRule) else 0.0
