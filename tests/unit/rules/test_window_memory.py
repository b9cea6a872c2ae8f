# What the windows of one process take by Python's own account of its memory, against the limit that they are given.
import gc
import tracemalloc
from random import Random

import pytest

from tests.unit.rules.judged import POLICY, T0, effective
from virtwatch_api.catalogue.signals import SIGNALS
from virtwatch_api.policy import Aggregate, Bound, Function, Level, ThresholdRule, Timing
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.evaluator import Evaluator, judge_turn
from virtwatch_rules.inputs import Measured, Point

DAY_S = 86_400.0
NAMES = [item.name for item in SIGNALS if item.formula is not None and not item.per_device][:6]
FUNCTIONS = [function for function in Function if function is not Function.LAST]
# Whatever holds samples, or leads to what does: it all counts.
HOLDERS = ("windows", "coarse", "store")


def taken() -> int:
    """Return the bytes that windows and what leads to them hold now."""
    gc.collect()  # takes with it what Python keeps to use again
    wanted = [tracemalloc.Filter(inclusive=True, filename_pattern=f"*/virtwatch_rules/{name}.py") for name in HOLDERS]
    statistics = tracemalloc.take_snapshot().filter_traces(wanted).statistics("filename")
    return sum(item.size for item in statistics)


def fill(budget: WindowBudget, *, targets: int, rules: int, interval: float) -> list[Evaluator]:
    """Judge targets by so many rules of 24 h each, until all windows are whole."""
    level = Level(Bound.ABOVE, 1e12, 1e12)
    bodies = [
        ThresholdRule(
            NAMES[number % len(NAMES)], Aggregate(FUNCTIONS[number % len(FUNCTIONS)], DAY_S), level, None, Timing()
        )
        for number in range(rules)
    ]
    in_force = {
        f"r{number}": effective(body, name=f"r{number}", interval=interval) for number, body in enumerate(bodies)
    }
    evaluators = [Evaluator(budget) for _ in range(targets)]
    for evaluator in evaluators:
        list(evaluator.appear(at=T0))
        list(evaluator.apply(in_force, [POLICY], at=T0))
    random, signals = Random(1), frozenset(NAMES)
    sets = [[Point(name, "", random.random()) for name in NAMES] for _ in range(50)]
    for number in range(1, int(DAY_S / interval) + 2):
        look = Measured(T0 + number * interval, sets[number % len(sets)], signals)
        for _ in judge_turn([(evaluator, look) for evaluator in evaluators]):
            pass
    return evaluators


@pytest.mark.parametrize(
    ("targets", "rules", "interval", "limit"),
    [
        pytest.param(4, 10, 15.0, 250_000, id="long windows of many samples"),
        pytest.param(12, 30, 120.0, 1_000_000, id="many windows"),
    ],
)
def test_windows_take_no_more_than_their_limit(targets: int, rules: int, interval: float, limit: int) -> None:
    budget = WindowBudget(limit=limit)
    fill(WindowBudget(), targets=1, rules=1, interval=3600.0)  # what is made once is not the windows'
    tracemalloc.start()
    try:
        evaluators = fill(budget, targets=targets, rules=rules, interval=interval)
        held = taken()
    finally:
        tracemalloc.stop()

    assert len(evaluators) == targets
    assert limit / 5 < held <= limit
    assert budget.problem  # that they became coarser is said
