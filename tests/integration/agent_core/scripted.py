# The core with a scripted outside: observations come from the test, the journal is a real file.
import itertools
import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from virtwatch_agent.collect.cost import Cost
from virtwatch_agent.collect.kernel.threads import ProcThreads
from virtwatch_agent.core.core import Core
from virtwatch_agent.journal.store import Journal
from virtwatch_agent.observations import (
    Appeared,
    Domain,
    DomainState,
    NodeChanged,
    Observation,
    Sample,
    TargetEvent,
    ThresholdsChanged,
)
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.compile import compile_policy
from virtwatch_api.nodemonitor import Acknowledged, ConditionType, NodeStatus, Transition
from virtwatch_api.policy import Policy
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.targets import TargetRef, vm_ref
from virtwatch_api.thresholdset import ThresholdSet

UUID = "6a1c1f0e-0000-4000-8000-000000000001"
# More transitions of one alert than any of these tests makes: what flaps is journaled later, and tests/unit shows that.
NO_FLAPPING = 1_000_000
_EPOCHS = itertools.count(1)


def policy(*rules: dict[str, Any], name: str = "web", **spec: Any) -> ThresholdSet:
    parsed = parse_policy(
        {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": "ClusterMonitorPolicy",
            "metadata": {"name": name, "uid": "p", "generation": 1},
            "spec": {"collection": {"interval": "1s"}, "rules": list(rules), **spec},
        }
    )
    assert isinstance(parsed, Policy), parsed
    compiled = compile_policy(parsed)
    assert isinstance(compiled, ThresholdSet), compiled
    return compiled


BUSY = {"name": "busy", "threshold": {"signal": "vm.memory.rss", "warning": {"above": 100}}}
PAUSED = {"name": "paused", "severity": "Critical", "event": {"type": "vm.paused", "resolveOn": ["vm.resumed"]}}


def domain(*, state: DomainState = DomainState.RUNNING, incarnation: str = "1") -> Domain:
    return Domain(UUID, "db-1", "test", incarnation, state)


class Outside:
    """Stand for collector, thresholds, reporter, telemetry; keep what the core says."""

    problem = ""
    exports_samples = True
    cut: Mapping[TargetRef, int] = MappingProxyType({})

    def __init__(self) -> None:
        self.statuses: list[NodeStatus] = []
        self.scattered: dict[TargetRef, Mapping[Source, float]] = {}
        self.chosen: dict[TargetRef, object] = {}
        self.bounds: dict[TargetRef, int] = {}
        self.glanced: dict[TargetRef, object] = {}
        self.again: list[tuple[TargetRef, Source, float]] = []
        self.plans: dict[str, Mapping[Source, float]] = {}
        self.spans: list[Transition] = []
        self.applied_sets: list[tuple[str, int]] = []
        self.received: list[str] = []
        self.exported: list[Sample] = []

    def start(self, deliver: Callable[[Observation], None]) -> None: ...

    def stop(self) -> None: ...

    def launchers(self, pods: frozenset[str]) -> None:
        self.known_launchers = pods

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        self.again.append((target, source, at - time.monotonic()))

    def choose(self, target: TargetRef, instruments: object, *, series: int = 0) -> frozenset[str]:
        self.chosen[target] = instruments
        self.bounds[target] = series
        return frozenset()

    def glance(self, target: TargetRef, bounds: object) -> None:
        self.glanced[target] = bounds

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None:
        self.scattered[target] = dict(within)

    def plan(self, uuid: str, intervals: Mapping[Source, float]) -> None:
        self.plans[uuid] = dict(intervals)

    def publish(self, status: NodeStatus) -> None:
        self.statuses.append(status)

    def sample(self, subject: object, sample: Sample, **_: object) -> None:
        self.exported.append(sample)

    def forget(self, uuid: str) -> None: ...

    def event(self, subject: object, event: TargetEvent) -> None:
        self.received.append(event.type)

    def transition_context(self) -> str:
        return "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def transition(self, transition: Transition, **_: object) -> None:
        self.spans.append(transition)

    def applied(self, thresholds: ThresholdSet, *, started: float, virtual_machines: int) -> None:
        self.applied_sets.append((thresholds.policy.name, virtual_machines))


class SetClock:
    """Tell the machine's time, as if somebody had set its clock `ahead`, or more had `passed`."""

    ahead = 0.0
    passed = 0.0

    def time(self) -> float:
        return time.time() + self.passed + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.passed


@dataclass
class Agent:
    """Run one core; `restart` kills it as a power cut would: nothing is written any more."""

    folder: Path
    node: str = "n1"
    outside: Outside = field(default_factory=Outside)
    clock: SetClock = field(default_factory=SetClock)
    seen: float = 0.0  # monotonic seconds of the last sample

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.core = Core(
            node=self.node,
            collector=self.outside,
            thresholds=self.outside,
            reporter=self.outside,
            telemetry=self.outside,
            journal=Journal(self.folder),
            threads=ProcThreads(Path("/proc")),
            clock=self.clock,
            new_epoch=lambda: f"epoch-{next(_EPOCHS)}",
            cost=lambda: Cost(0.0, 0.0, 0.0),
            burst=NO_FLAPPING,
        )
        self.core.start()

    def restart(self, folder: Path | None = None) -> None:
        self.core.stop()
        self.folder = folder or self.folder
        self.outside = Outside()
        self._begin()

    def say(self, *observations: Observation) -> "Agent":
        for observation in observations:
            self.core.deliver(observation)
        return self

    def judge_by(self, *thresholds: ThresholdSet) -> "Agent":
        return self.say(ThresholdsChanged(thresholds))

    def see(self, *values: float) -> "Agent":
        for value in values:
            self.seen = max(self.seen + 0.001, self.clock.monotonic())
            now = self.clock.time()
            self.say(Sample(vm_ref(UUID), Source.KERNEL, "1", now, now, self.seen, {("memory.rss", ""): value}))
        return self

    def appear(self, *, started: bool = False, **changes: Any) -> "Agent":
        return self.say(Appeared(domain(**changes), self.clock.time(), started=started))

    def hear(self, type_: str, **attributes: str) -> "Agent":
        return self.say(TargetEvent(type_, vm_ref(UUID), self.clock.time(), attributes))

    def acknowledge(self, epoch: str, sequence: int) -> "Agent":
        return self.say(NodeChanged({}, Acknowledged(epoch, sequence)))

    def until_judged(self) -> "Agent":
        """Wait until all that was said so far is judged."""
        for _ in range(3):  # each turn notes the time twice: before it takes what there is, and after
            asked, end = self.clock.monotonic(), time.monotonic() + 30.0
            self.core.deliver()
            while self.core.alive_at <= asked:
                assert time.monotonic() < end
                time.sleep(0.001)
        return self

    def until_ticked(self) -> None:
        """Wait for two turns of the core's own time: what it does each second is done."""
        for _ in range(2):
            begun = self.core.alive_at
            end = time.monotonic() + 30.0
            while self.core.alive_at < begun + 1.0:
                assert time.monotonic() < end
                time.sleep(0.01)

    @property
    def status(self) -> NodeStatus:
        return self.outside.statuses[-1]

    def until(self, condition: Callable[[NodeStatus], bool], deadline: float = 30.0) -> NodeStatus:
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            if self.outside.statuses and condition(self.status):
                return self.status
            time.sleep(0.005)
        raise AssertionError(f"not within {deadline} s; the last status was {self.outside.statuses[-1:]}")


def learned(folder: Path, rule: str) -> dict[str, Any]:
    """Return what is on disk of what a rule has learned; an agent may write it meanwhile."""
    with suppress(sqlite3.OperationalError):  # there is nothing yet
        with closing(sqlite3.connect(f"file:{folder}/learned.db?mode=ro", uri=True)) as database:
            found = database.execute("SELECT document FROM learned WHERE rule = ?", (rule,)).fetchone()
        return {} if found is None else json.loads(found[0])
    return {}


def judging(status: NodeStatus) -> bool:
    """Tell whether the agent knows what it judges by."""
    return any(item.type == ConditionType.READY and item.status for item in status.conditions)
