"""Windows of cells against the windows that keep every sample, and the memory that all of them may take."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rules.judged import Judged
from tests.unit.rules.test_windows import FUNCTIONS, IDLE, reference, slots
from virtwatch_api.policy import Aggregate, Bound, Function, Level, ThresholdRule, Timing
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.coarse import Coarse, coarser, new_coarse
from virtwatch_rules.windows import Window, new_window

SIZE, CELLS = 40, 8


def push(window: Window, item: object) -> None:
    if item is None:
        window.push_gap()
    else:
        window.push(None if item == IDLE else item, 1)  # type: ignore[arg-type]


def held(window: Coarse) -> int:
    """Return how many of the newest instants a window of cells holds."""
    return len(window.counts) * window.stride + window.taken


def agrees(function: Function, value: float, newest: list[object]) -> bool:
    expected = reference(function, newest)
    if function is not Function.P95 or math.isnan(expected):
        return value == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)
    ordered = sorted(item for item in newest if isinstance(item, float))
    rank = 0.95 * (len(ordered) - 1)
    around = (ordered[math.floor(rank)], ordered[math.ceil(rank)])
    return any(value == pytest.approx(item, rel=0.01, abs=1e-11) for item in around)


many = st.lists(slots, min_size=1, max_size=6).map(lambda lists: [item for part in lists for item in part])


@pytest.mark.parametrize("function", [item for item in FUNCTIONS if item is not Function.COUNT])
@given(many)
def test_a_window_of_cells_is_what_its_newest_instants_are(function: Function, history: list[object]) -> None:
    window = new_coarse(function, SIZE, 1.0, CELLS)
    for number, item in enumerate(history):
        push(window, item)
        newest = history[max(0, number + 1 - held(window)) : number + 1]
        assert agrees(function, window.value(), newest)
        assert window.count == sum(isinstance(slot, float) for slot in newest)
        assert window.idles == sum(slot == IDLE for slot in newest)
    assert held(window) >= min(len(history), SIZE - window.stride)
    assert held(window) <= SIZE + window.stride


@pytest.mark.parametrize("function", [item for item in FUNCTIONS if item is not Function.COUNT])
@given(many, st.integers(0, 200))
def test_a_window_that_becomes_coarser_goes_on(function: Function, history: list[object], at: int) -> None:
    window: Window = new_window(function, 4 * SIZE, 1.0)
    for number, item in enumerate(history):
        if number == at:
            window = coarser(coarser(window, function, 2 * CELLS), function, CELLS)
        push(window, item)
        if isinstance(window, Coarse):
            newest = history[max(0, number + 1 - held(window)) : number + 1]
            assert agrees(function, window.value(), newest)


def test_the_average_of_a_constant_is_the_constant_in_cells_too() -> None:
    window = new_coarse(Function.AVG, 86_400, 1.0, 512)
    for _ in range(100_000):
        window.push(0.4, 1)

    assert window.value() == 0.4
    assert window.bytes < 10_000


def test_a_histogram_of_many_values_stays_small() -> None:
    window = new_coarse(Function.P95, 86_400, 1.0, 512)
    for number in range(100_000):
        window.push(1.0 + (number * 7919 % 10_000) ** 2, 1)

    assert window.value() == pytest.approx(9_500.0**2, rel=0.02)
    assert len(window.entries) * 4 <= window.bytes  # type: ignore[attr-defined]


def rule(signal: str, function: Function, window: float) -> ThresholdRule:
    return ThresholdRule(signal, Aggregate(function, window), Level(Bound.ABOVE, 1e12, 1e12), None, Timing())


def test_windows_together_stay_within_their_memory_and_say_so() -> None:
    budget = WindowBudget(limit=300_000)
    targets = []
    for _ in range(10):
        judged = Judged(budget=budget)
        judged.apply(*(rule(f"vm.memory.{name}", Function.AVG, 600.0) for name in ("rss", "balloon", "swap.rate")))
        targets.append(judged)
    assert budget.problem == ""  # 30 of 600 samples
    for second in range(700):
        for judged in targets:
            judged.see(second, {"vm.memory.rss": 0.4, "vm.memory.balloon": 1.0, "vm.memory.swap.rate": 1.0})

    targets[0].apply(*(rule("vm.memory.rss", Function.P95, 600.0 + n) for n in range(30)), at=700)

    assert budget.used <= budget.limit
    assert budget.problem.startswith("windows of more than")
    assert {reading.value for reading in targets[1].evaluator._store.readings()} == {0.4, 1.0}


def test_windows_of_a_day_take_little_memory() -> None:
    judged = Judged(*(rule("vm.memory.rss", function, 86_400.0) for function in FUNCTIONS))

    assert judged.evaluator._store._budget.used < 100_000
