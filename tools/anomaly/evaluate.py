"""Measures the anomaly engine: on synthetic VMs with faults, on labelled series where there are some, and its cost."""

import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tools.anomaly import labelled
from tools.anomaly.load import FAULTS, load
from tools.anomaly.rule import RuleOutcome, run
from tools.bench.figure import Figure
from virtwatch_rules.anomaly.detector import Detector
from virtwatch_rules.anomaly.rollup import SENSITIVITIES

_SERIES = (30, 300, 6000)
_GOAL_US = 20.0
_FIRST_FAULT_DAY = 9


def evaluate(*, folder: Path | None, machines: int, days: int) -> None:
    """Print one JSON line per figure."""
    for figure in _all(folder, machines, days):
        print(figure.line(), flush=True)


def _all(folder: Path | None, machines: int, days: int) -> Iterator[Figure]:
    for count in _SERIES:
        yield _cost(count)
    if folder is not None:
        yield from _labelled(folder)
    for sensitivity in SENSITIVITIES if machines else ():
        yield from _synthetic(sensitivity, machines, days)


def _cost(count: int) -> Figure:
    rng = random.Random(1)
    detectors = [Detector() for _ in range(count)]
    ticks = [[50 + rng.gauss(0, 5) for _ in range(count)] for _ in range(20)]
    spent = []
    for tick in range(max(220, 20_000 // count)):
        begin = time.thread_time()
        for detector, value in zip(detectors, ticks[tick % 20], strict=True):
            detector.take(tick * 60.0, value)
        spent.append((time.thread_time() - begin) / count * 1e6)
    return Figure(
        name=f"anomaly detection, CPU of a point at {count} series",
        value=statistics.median(spent[20:]),
        unit="us",
        goal=_GOAL_US if count >= 300 else None,
        detail="median of ticks",
    )


def _labelled(folder: Path) -> Iterator[Figure]:
    families: dict[str, labelled.Outcome] = defaultdict(labelled.Outcome)
    whole = labelled.Outcome()
    for series in labelled.read(folder):
        labelled.judge(series, families[series.name.partition("/")[0]])
        labelled.judge(series, whole)
    for name, outcome in [("all", whole), *sorted(families.items())]:
        yield Figure(
            name=f"labelled series, {name}",
            value=outcome.score,
            unit="of 100",
            goal=None,
            detail=f"{outcome.found} of {outcome.windows} windows found, "
            f"{outcome.false_groups / outcome.weeks:.2f} false alarms per series and week",
        )


def _synthetic(sensitivity: str, machines: int, days: int) -> Iterator[Figure]:
    quiet, broken = RuleOutcome(), RuleOutcome()
    for seed in range(machines):
        run(load(seed, days=days, first_fault_day=None), sensitivity, quiet)
        run(load(seed, days=days, first_fault_day=_FIRST_FAULT_DAY), sensitivity, broken)
    yield Figure(
        name=f"synthetic VMs without faults, sensitivity {sensitivity}",
        value=quiet.false_alarms / quiet.weeks,
        unit="findings per VM and week",
        goal=SENSITIVITIES[sensitivity].per_week,
        detail=f"{machines} VMs, {days} days, the first 7 of them learning",
    )
    kinds = ", ".join(f"{kind} {broken.found[kind]}/{broken.put_in[kind]}" for kind in FAULTS)
    delay = statistics.median(broken.delays) / 60 if broken.delays else 0.0
    yield Figure(
        name=f"synthetic VMs with faults, sensitivity {sensitivity}",
        value=sum(broken.found.values()) / max(1, sum(broken.put_in.values())),
        unit="share found",
        goal=None,
        detail=f"{kinds}; median delay {delay:.0f} min; false {broken.false_alarms / broken.weeks:.2f} per VM and week",
    )
