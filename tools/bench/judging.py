"""What judging costs: 200 VMs under 30 rules each, points in and verdicts out, without collecting and journal."""

import gc
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tools.bench.figure import Figure, percentile
from tools.progress import step
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
from virtwatch_api.resolution import EffectiveRule
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.evaluator import Evaluator, judge_turn
from virtwatch_rules.inputs import Measured, Point

VMS, RULES, ROUNDS = 200, 30, 25
POLICY = PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "bench")
SIGNALS = tuple(
    item.name for item in SIGNAL.values() if item.formula is not None and item.target is TargetKind.VIRTUAL_MACHINE
)[:27]
LAST = (Aggregate(),)
MIXED = tuple(Aggregate(function, 60.0) for function in Function if function is not Function.LAST)
LONG = (Aggregate(Function.P95, 300.0), Aggregate(Function.AVG, 300.0))
DAY = tuple(Aggregate(function, 86_400.0) for function in Function if function is not Function.LAST)
QUIET, FIRING = 1e12, -1e12  # bounds of `above`
START = 1_700_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Say what the rules judge: how, whether they fire, and how often (seconds)."""

    name: str
    aggregates: Sequence[Aggregate]
    bound: float = QUIET
    interval: float = 1.0
    rules: int = RULES
    goal: float


LOADS = (
    Load(name="all Last", aggregates=LAST, goal=10.0),
    Load(name="mixed 1 m windows", aggregates=MIXED, goal=15.0),
    Load(name="Avg 5 m + P95 5 m", aggregates=LONG, goal=20.0),
    Load(name="all Last, all firing", aggregates=LAST, bound=FIRING, goal=15.0),
    Load(name="mixed 1 m windows, all firing", aggregates=MIXED, bound=FIRING, goal=15.0),
)

# Windows of a day: some policies ask for many, some for long ones of many samples.
DAYS = (
    Load(name=f"{RULES} rules of 24 h at 2 min", aggregates=DAY, interval=120.0, goal=32.0),
    Load(name="10 rules of 24 h at 5 s", aggregates=DAY, interval=5.0, rules=10, goal=32.0),
)


def judging_cost() -> Iterator[Figure]:
    """Measure a round, in which each VM is looked at once and time passes, in CPU time; then the windows' memory."""
    for load in LOADS:
        with step(f"Judging {VMS} VMs by {RULES} rules each: {load.name}"):
            times = list(_rounds(load))
        yield Figure(
            name=f"judging {VMS} VMs x {RULES} rules, {load.name}",
            value=percentile(times, 0.5),
            unit="ms",
            goal=load.goal,
            detail=f"CPU per round at 1 s, median of {len(times)}; best {min(times):.1f}, worst {max(times):.1f} ms",
        )
    for day in DAYS:
        yield _memory(day)


def _rounds(load: Load) -> Iterator[float]:
    """Yield milliseconds per round, once the windows are whole."""
    evaluators, sets = _evaluators(WindowBudget(), load), _point_sets()
    warm = int(max(item.window for item in load.aggregates) / load.interval) + 5
    gc.collect()
    for number in range(warm + ROUNDS):
        at = START + (number + 1) * load.interval
        looks = _looks(evaluators, sets, number, at)
        began = time.process_time()
        for _ in judge_turn(looks):
            pass
        for evaluator in evaluators:
            for _ in evaluator.tick(at=at + 0.5):
                pass
        if number >= warm:
            yield (time.process_time() - began) * 1e3


def _evaluators(budget: WindowBudget, load: Load) -> list[Evaluator]:
    level = Level(Bound.ABOVE, load.bound, load.bound)
    rules = {
        f"r{number}": _effective(
            f"r{number}",
            ThresholdRule(
                SIGNALS[number % len(SIGNALS)], load.aggregates[number % len(load.aggregates)], level, None, Timing()
            ),
            load.interval,
        )
        for number in range(load.rules)
    }
    evaluators = []
    for _ in range(VMS):
        evaluator = Evaluator(budget)
        list(evaluator.appear(at=START))
        list(evaluator.apply(rules, [POLICY], at=START))
        evaluators.append(evaluator)
    return evaluators


def _effective(name: str, body: ThresholdRule, interval: float) -> EffectiveRule:
    rule = Rule(name, body)
    return EffectiveRule(rule, policy(rule, interval=interval), "bench")


def policy(*rules: Rule, interval: float) -> ThresholdSet:
    """Return a ThresholdSet with these rules, for all VMs; `interval` is in seconds."""
    return ThresholdSet(
        POLICY,
        "uid",
        1,
        0.0,
        "hash",
        Enforcement.ENFORCE,
        overridable=True,
        target=Target(),
        namespaces=None,
        collection=Collection(interval=interval),
        rules=rules,
    )


def _point_sets() -> list[list[Point]]:
    random = Random(1)
    devices = {name: "vda" if SIGNAL[name].per_device else "" for name in SIGNALS}
    return [[Point(name, device, random.random()) for name, device in devices.items()] for _ in range(50)]


def _looks(
    evaluators: Sequence[Evaluator], sets: Sequence[list[Point]], number: int, at: float
) -> list[tuple[Evaluator, Measured]]:
    signals, devices = frozenset(SIGNALS), frozenset({"vda"})
    return [
        (evaluator, Measured(at, sets[(number * 7 + index) % len(sets)], signals, devices))
        for index, evaluator in enumerate(evaluators)
    ]


def _memory(load: Load) -> Figure:
    with step(f"Filling the windows of {VMS} VMs by {load.name}"):
        command = [sys.executable, "-m", __name__, str(DAYS.index(load))]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    grown, counted, cells = done.stdout.split()
    return Figure(
        name=f"windows of {VMS} VMs x {load.name}",
        value=float(grown),
        unit="MiB",
        goal=load.goal,
        detail=f"RSS that filling them took; {counted} MiB by their own count, {cells} values each",
    )


def _fill(load: Load) -> None:
    """Fill windows in a process that does nothing else; print what that took."""
    budget = WindowBudget()
    evaluators, sets = _evaluators(budget, load), _point_sets()
    gc.collect()
    before = _resident()
    for number in range(int(86_400 / load.interval) + 30):
        for _ in judge_turn(_looks(evaluators, sets, number, START + (number + 1) * load.interval)):
            pass
    gc.collect()
    print(f"{_resident() - before:.1f} {budget.used / (1 << 20):.1f} {budget.cells}")


def _resident() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    _fill(DAYS[int(sys.argv[1])])
