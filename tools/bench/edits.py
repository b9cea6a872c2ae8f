"""What an edit of one policy costs the agent's loop: many VMs under many policies that all select all of them."""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tools.bench.figure import Figure, percentile
from tools.bench.outside import Nothing
from tools.progress import step
from virtwatch_agent.collect.cost import Cost
from virtwatch_agent.core.culprits import Culprits
from virtwatch_agent.core.dispatch import Dispatch
from virtwatch_agent.core.outcome import Outcome
from virtwatch_agent.journal.store import Journal
from virtwatch_agent.observations import Appeared, Domain, DomainState, Sample, ThresholdsChanged
from virtwatch_api.catalogue.readings import READINGS, Source
from virtwatch_api.catalogue.signals import SIGNAL, TargetKind
from virtwatch_api.policy import (
    Aggregate,
    Bound,
    Collection,
    Enforcement,
    Function,
    Level,
    PolicyKey,
    PolicyKind,
    Rule,
    Target,
    ThresholdRule,
    Timing,
)
from virtwatch_api.targets import vm_ref
from virtwatch_api.thresholdset import ThresholdSet

VMS, POLICIES, EDITS = 200, 500, 15
GOAL_MS = 50.0
EXPORT_INTERVAL_S, INTERVAL_S, QUIET = 15.0, 15.0, 1e12
SIGNALS = tuple(
    item.name for item in SIGNAL.values() if item.formula is not None and item.target is TargetKind.VIRTUAL_MACHINE
)
AGGREGATES = (Aggregate(), Aggregate(Function.AVG, 300.0), Aggregate(Function.P95, 300.0))

Edit = Callable[[list[ThresholdSet], int], list[ThresholdSet]]


def edit_cost() -> Iterator[Figure]:
    """Measure how long the loop is busy with an edit, its journal and its status included, in CPU time."""
    with step(f"Putting {POLICIES} policies in force for {VMS} VMs"), tempfile.TemporaryDirectory() as folder:
        loop = _Loop(Path(folder))
        loop.fill()
        for name, edit in EDIT.items():
            measured = list(loop.edits(edit))
            times, waits = sorted(cpu for cpu, _ in measured), [wall for _, wall in measured]
            yield Figure(
                name=f"edit of one policy, {VMS} VMs x {POLICIES} policies, {name}",
                value=percentile(times, 0.5),
                unit="ms",
                goal=GOAL_MS,
                detail=f"CPU in the loop, median of {len(times)}; best {times[0]:.1f}, worst {times[-1]:.1f} ms; "
                f"by the wall clock {percentile(waits, 0.5):.1f} ms",
            )


def _bound(policies: list[ThresholdSet], number: int) -> list[ThresholdSet]:
    """Change one bound of a policy in their midst."""
    return _edited(policies, number, lambda body: replace(body, warning=_level(QUIET + number + 1)))


def _window(policies: list[ThresholdSet], number: int) -> list[ThresholdSet]:
    """Change a window: the old one's samples are of no use."""
    aggregate = Aggregate(Function.AVG, 60.0 + number)
    return _edited(policies, number, lambda body: replace(body, aggregate=aggregate))


def _gone_or_back(policies: list[ThresholdSet], number: int) -> list[ThresholdSet]:
    """Delete a policy, or make one again."""
    return [*policies, _policy(POLICIES - 1)] if number % 2 else policies[:-1]


EDIT: Mapping[str, Edit] = {
    "one bound": _bound,
    "one window": _window,
    "a policy deleted or made": _gone_or_back,
}


def _edited(
    policies: list[ThresholdSet], number: int, change: Callable[[ThresholdRule], ThresholdRule]
) -> list[ThresholdSet]:
    place = number * 31 % len(policies)
    before = policies[place]
    (rule,) = before.rules
    assert isinstance(rule.body, ThresholdRule)
    after = replace(before, rules=(replace(rule, body=change(rule.body)),), hash=f"{before.hash}.{number}")
    return [*policies[:place], after, *policies[place + 1 :]]


def _policy(number: int) -> ThresholdSet:
    body = ThresholdRule(
        SIGNALS[number % len(SIGNALS)], AGGREGATES[number % len(AGGREGATES)], _level(QUIET), None, Timing()
    )
    return ThresholdSet(
        PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, f"policy-{number:03}"),
        f"uid-{number}",
        1,
        0.0,
        f"hash-{number}",
        Enforcement.ENFORCE,
        overridable=True,
        target=Target(),
        namespaces=None,
        collection=Collection(interval=INTERVAL_S),
        rules=(Rule(f"rule-{number:03}", body),),
    )


def _level(bound: float) -> Level:
    return Level(Bound.ABOVE, bound, bound)


class _Loop:
    """Do what the agent's loop does with an observation, in this thread, so that it can be timed."""

    def __init__(self, folder: Path) -> None:
        outside = Nothing()
        outcome = Outcome(
            Journal(folder),
            outside,
            outside,
            _Clock(),
            new_epoch=lambda: "bench",
            cost=lambda: Cost(0.0, 0.0, 0.0),
            started=time.time(),
            burst=10,
            wake=lambda: None,
        )
        self._dispatch = Dispatch(
            node="bench",
            collector=outside,
            telemetry=outside,
            outcome=outcome,
            clock=_Clock(),
            guarded=lambda act: act(),
            export_interval=EXPORT_INTERVAL_S,
            culprits=Culprits(outside, _Clock()),
        )
        self._dispatch.restore(outcome.open())
        self._policies = [_policy(number) for number in range(POLICIES)]

    def fill(self) -> None:
        """Let the VMs appear, put the policies in force and judge two looks, so that windows are open."""
        self._dispatch.handle(ThresholdsChanged(tuple(self._policies)))
        for number in range(VMS):
            self._dispatch.handle(Appeared(_domain(number), time.time()))
        for _ in range(2):
            for number in range(VMS):
                for source in Source:
                    self._dispatch.handle(_sample(number, source))
        self._dispatch.settle()

    def edits(self, edit: Edit) -> Iterator[tuple[float, float]]:
        """Yield the milliseconds that each edit takes: of CPU, and by the wall clock."""
        gc.collect()
        for number in range(EDITS):
            self._policies = edit(self._policies, number)
            changed = ThresholdsChanged(tuple(self._policies), read_up_to=number)
            begun, busy = time.perf_counter(), time.thread_time()
            self._dispatch.handle(changed)
            self._dispatch.settle()
            yield (time.thread_time() - busy) * 1e3, (time.perf_counter() - begun) * 1e3


def _uuid(number: int) -> str:
    return f"6a1c1f0e-0000-4000-8000-{number:012}"


def _domain(number: int) -> Domain:
    return Domain(_uuid(number), f"vm-{number}", "bench", "1", DomainState.RUNNING)


def _sample(number: int, source: Source) -> Sample:
    now, clock = time.time(), time.monotonic()
    values = {
        (item.key, "vda" if item.device else ""): clock
        for item in READINGS
        if item.source is source and item.target is TargetKind.VIRTUAL_MACHINE
    }
    return Sample(vm_ref(_uuid(number)), source, "1", now, now, clock, values)


class _Clock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


if __name__ == "__main__":
    for figure in edit_cost():
        print(figure.line(), flush=True)
