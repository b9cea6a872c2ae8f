"""A load that was recorded of a real process, and its replay through one collection mode on a clock of its own.

Schedule, glances, judging, journal and extra samples are the agent's own. The recording holds what the kernel said of
one thread's running and waiting; a replay shifts it, so that each VM meets it at another instant of its interval.
"""

import gzip
import json
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from tools.bench.outside import Nothing
from virtwatch_agent.collect.cost import Cost
from virtwatch_agent.collect.kernel.glances import Glances
from virtwatch_agent.collect.schedule import Schedule
from virtwatch_agent.core import outcome as agent_outcome
from virtwatch_agent.core.culprits import Culprits
from virtwatch_agent.core.dispatch import Dispatch
from virtwatch_agent.journal.store import Journal
from virtwatch_agent.observations import Appeared, Domain, DomainState, Sample, Series, ThresholdsChanged
from virtwatch_api.alert import Action
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.compile import compile_policy
from virtwatch_api.nodemonitor import Transition
from virtwatch_api.policy import Mode, Policy
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.targets import Subject, TargetRef, vm_ref
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.inputs import Point

RECORDING = Path(__file__).parent / "load.json.gz"
INTERVAL = "15s"
BOUND = 0.8
MEAN_OVER_S = 60
CALM_S = (15.0, 60.0)  # of the recording, what is repeated to fill an hour: four incidents in it
REPEATED = 67
_GRID_S = 0.25  # between two records
_NANOSECOND = 1e-9
_LOOKED_FOR_S = 60.0  # after the load has crossed the bound
_CALM_S = 30.0  # below the bound, after which the next crossing is another incident
# What else the kernel reports a VM with one NIC: derived and exported with each look.
_OTHER: Mapping[Series, float] = {
    ("cpu.count", ""): 1.0,
    ("memory.rss", ""): 2e9,
    **{
        (f"network.{direction}.{name}", "tap0"): 1e6
        for direction in ("receive", "transmit")
        for name in ("bytes", "packets", "errors", "drops")
    },
}
_UUID = "6a1c1f0e-0000-4000-8000-"


class Recording:
    """Know what a thread had run and waited at each instant, in nanoseconds."""

    def __init__(self, path: Path = RECORDING) -> None:
        with gzip.open(path, "rt") as file:
            rows = json.load(file)
        rows = _with_calm(rows)
        at = [float(row[0]) for row in rows]
        self.length = at[-1]
        grid = [number * _GRID_S for number in range(int(self.length / _GRID_S) + 1)]
        self._ran, self._waited = (
            [_between(at, [row[place] for row in rows], when) for when in grid] for place in (1, 2)
        )

    def threads(self, at: float) -> tuple[int, int]:
        """Return both at an instant: between two records as if it went on evenly."""
        place, part = divmod(min(at, self.length - _GRID_S) / _GRID_S, 1.0)
        first = int(place)
        ran, waited = self._ran, self._waited
        return (
            int(ran[first] + (ran[first + 1] - ran[first]) * part),
            int(waited[first] + (waited[first + 1] - waited[first]) * part),
        )

    def load(self, begin: float, end: float) -> float:
        """Return the share of a CPU that it used between two instants."""
        return (self.threads(end)[0] - self.threads(begin)[0]) * _NANOSECOND / (end - begin)

    @cached_property
    def crossings(self) -> list[float]:
        """Return when the load rose above the bound, for a second at least: of each incident, the first time."""
        found: list[float] = []
        above_at = float("-inf")
        for number in range(1, int(self.length) * 4):
            at = number / 4
            if self.load(at, at + 1.0) > BOUND:
                if at - above_at > _CALM_S:
                    found.append(at)
                above_at = at
        return found


def _with_calm(rows: list[list[float]]) -> list[list[float]]:
    """Repeat the calm begin of a recording before it, and let it continue from there."""
    begin, end = (next(row for row in rows if row[0] >= at) for at in CALM_S)
    since = [[now - before for now, before in zip(row, begin, strict=True)] for row in rows if row[0] >= begin[0]]
    step = [now - before for now, before in zip(end, begin, strict=True)]
    calm = [row for row in since if row[0] < step[0]]
    parts = [*[calm] * REPEATED, since]
    return [
        [value + number * more for value, more in zip(row, step, strict=True)]
        for number, part in enumerate(parts)
        for row in part
    ]


def _between(at: list[float], values: list[float], when: float) -> float:
    after = min(max(bisect_right(at, when), 1), len(at) - 1)
    share = min(1.0, max(0.0, (when - at[after - 1]) / (at[after] - at[after - 1])))
    return values[after - 1] + (values[after] - values[after - 1]) * share


@dataclass(slots=True)
class Outcome:
    """Hold what one mode brought; `cpu` in seconds."""

    cpu: float = 0.0
    seconds: float = 0.0  # that were replayed, of all VMs together
    looks: int = 0
    glances: int = 0
    delays: list[float] = field(default_factory=list)
    missed: int = 0
    mean_errors: list[float] = field(default_factory=list)
    peak_errors: list[float] = field(default_factory=list)


def replay(mode: Mode, recording: Recording, window: str, *, targets: int, folder: Path) -> Outcome:
    """Replay a recording for so many VMs, each shifted by a part of the interval; `folder` is for the journal."""
    shifts = random.Random(1)
    vms = [_Vm(number, recording, shifts.uniform(0, 15)) for number in range(targets)]
    one = _Node(vms, recording.length - 15)
    one.begin(_policy(mode, window), folder)
    one.run()
    outcome = Outcome(one.cpu, targets * one.length, one.looks, one.glances)
    for vm in vms:
        _compare(vm, recording, one, outcome)
    return outcome


def stand_ins(recording: Recording) -> tuple[Callable[[float], object], Callable[[float], object]]:
    """Return what a replay reads in place of the kernel's files: for a look, and for a glance."""
    vm = _Vm(0, recording, 0.0)
    return lambda at: vm.at(at).read(), lambda at: vm.at(at).threads()


class _Vm:
    """Stand for the reader of a VM whose one vCPU does what was recorded, from `shift` seconds on."""

    def __init__(self, number: int, recording: Recording, shift: float) -> None:
        self.shift = shift
        self.domain = Domain(f"{_UUID}{number:012}", f"vm-{number}", "replay", "1", DomainState.RUNNING)
        self.now = 0.0
        self._recording = recording

    def at(self, now: float) -> "_Vm":
        self.now = now
        return self

    def threads(self) -> list[bytes]:
        ran, waited = self._recording.threads(self.now + self.shift)
        return [b"%d %d 1" % (ran, waited)]

    def counted(self, threads: list[bytes]) -> dict[Series, float]:
        ran, waited = map(int, threads[0].split()[:2])
        return {("cpu.time", "0"): ran * _NANOSECOND, ("cpu.delay", "0"): waited * _NANOSECOND}

    def read(self) -> dict[Series, float]:
        return {**_OTHER, **self.counted(self.threads())}


class _Node(Nothing):
    """Do what the agent's collector and core do, in this thread, by a clock that goes as fast as they do."""

    def __init__(self, vms: Sequence[_Vm], length: float) -> None:
        self._vms: Mapping[str, Any] = {vm.domain.uuid: vm for vm in vms}
        self.length = length
        self._now = 0.0
        self._schedule, self._glances = Schedule(), Glances()
        self.seen: list[tuple[str, float, float]] = []
        self.fired: list[tuple[str, float]] = []
        self.looks = self.glances = 0
        self.cpu = 0.0  # seconds, of glances, looks and judging: that time passes costs the same in all modes

    def time(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def begin(self, thresholds: ThresholdSet, folder: Path) -> None:
        """Let the VMs appear under one policy."""
        self._outcome = agent_outcome.Outcome(
            Journal(folder),
            self,
            self,
            self,
            new_epoch=lambda: "bench",
            cost=lambda: Cost(0.0, 0.0, 0.0),
            started=0.0,
            burst=1_000_000,
            wake=lambda: None,
        )
        self._dispatch = Dispatch(
            node="bench",
            collector=self,
            telemetry=self,
            outcome=self._outcome,
            clock=self,
            guarded=lambda act: act(),
            export_interval=15.0,
            culprits=Culprits(self, self),
        )
        self._dispatch.restore(self._outcome.open())
        self._dispatch.handle(ThresholdsChanged((thresholds,)))
        for vm in self._vms.values():
            self._dispatch.handle(Appeared(vm.domain, 0.0))
        self._dispatch.settle()

    def run(self) -> None:
        """Replay to the end."""
        tick = 1.0
        while (now := self._next(tick)) < self.length:
            self._now = now
            if now >= tick:
                tick += 1.0
                self._dispatch.tick()
                self._outcome.flush()  # the disk has no time to lag behind a clock that goes so fast
                self._dispatch.settle()
            self._turn(now)
        self._outcome.flush()
        self._dispatch.settle()
        self._outcome.close()

    def _turn(self, now: float) -> None:
        began = time.thread_time()
        for uuid in self._glances.due(now):
            self.glances += 1
            if self._glances.glance(uuid, self._vms[uuid].at(now), now=now):
                self._schedule.once_more(vm_ref(uuid), Source.KERNEL, now)
        looks = [ref for ref, source in self._schedule.due(now) if source is Source.KERNEL]
        for ref in looks:
            self._look(self._vms[ref.id], ref, now)
        if looks:
            self._dispatch.settle()
        self.cpu += time.thread_time() - began

    def _next(self, tick: float) -> float:
        due = (self._schedule.next_due(), self._glances.next_due(), tick)
        return max(self._now, min(at for at in due if at is not None))

    def _look(self, vm: Any, ref: TargetRef, now: float) -> None:
        self.looks += 1
        was_due = self._schedule.was_due(ref, Source.KERNEL)
        values = vm.at(now).read()
        before = self._glances.before(ref.id, at=now) if was_due == now else None
        self._dispatch.handle(Sample(ref, Source.KERNEL, "1", 0.0, now, now, values, was_due, before=before))

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        if target.id in self._vms:
            self._schedule.plan(target, target.id, intervals, now=self._now)

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        if target.id in self._vms:
            self._schedule.scatter(target, within)

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        self._schedule.once_more(target, source, at)

    def glance(self, target: TargetRef, bounds: Mapping[str, Sequence[float]]) -> None:
        self._glances.plan(target.id, bounds)

    def sample(
        self,
        subject: Subject,
        sample: Sample,
        *,
        pod_uid: str | None = None,  # noqa: ARG002
        points: Iterable[Point] = (),
    ) -> None:
        self.seen += [(subject.target.id, sample.at, point.value) for point in points if point.value is not None]

    def transition(self, transition: Transition, **_: object) -> None:
        if transition.action is Action.FIRED:
            self.fired.append((transition.subject.target.id, transition.at))


def _compare(vm: _Vm, recording: Recording, node: _Node, outcome: Outcome) -> None:
    """Hold what was noticed against what was recorded."""
    shift, load, uuid = vm.shift, recording.load, vm.domain.uuid
    for crossed in (at - shift for at in recording.crossings):
        fired = (at for who, at in node.fired if who == uuid)
        found = next((at for at in fired if crossed <= at < crossed + _LOOKED_FOR_S), None)
        if found is None:
            outcome.missed += 1
        else:
            outcome.delays.append(found - crossed)
    seen = [(at, value) for who, at, value in node.seen if who == uuid]
    for begin in range(MEAN_OVER_S, int(node.length) - MEAN_OVER_S, MEAN_OVER_S):
        end = begin + MEAN_OVER_S
        told = [(at, value) for at, value in seen if begin < at <= end]
        if not told:
            continue
        spans = [at - before for before, at in pairwise([begin, *(at for at, _ in told)])]
        mean = sum(value * span for (_, value), span in zip(told, spans, strict=True)) / sum(spans)
        outcome.mean_errors.append(abs(mean - load(begin + shift, end + shift)))
        peak = max(load(at + shift, at + shift + 1.0) for at in range(begin, end))
        outcome.peak_errors.append(max(0.0, peak - max(value for _, value in told)))


def _policy(mode: Mode, window: str) -> ThresholdSet:
    aggregate = {"aggregate": {"function": "Avg", "window": window}} if window else {}
    threshold = {"signal": "vm.cpu.utilization", **aggregate, "warning": {"above": str(BOUND)}}
    document: Mapping[str, Any] = {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "ClusterMonitorPolicy",
        "metadata": {"name": "bench", "uid": "bench", "generation": 1},
        "spec": {
            "target": {"kind": "VirtualMachine"},
            "collection": {"mode": mode.value, "interval": INTERVAL},
            "rules": [{"name": "busy", "threshold": threshold}],
        },
    }
    policy = parse_policy(document)
    assert isinstance(policy, Policy), policy
    thresholds = compile_policy(policy)
    assert isinstance(thresholds, ThresholdSet), thresholds
    return thresholds
