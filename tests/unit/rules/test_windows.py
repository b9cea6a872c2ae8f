"""Windows against a naive reference that keeps all samples."""

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from virtwatch_api.policy import Function
from virtwatch_rules.windows import NONE, new_window, slots_of

FUNCTIONS = [item for item in Function if item is not Function.LAST]
IDLE = "idle"
slots = st.lists(
    st.one_of(
        st.sampled_from([0.4, 0.3, 0.0, -1.5, 1e15, 1e-9]),
        st.integers(-(10**9), 10**9).map(lambda item: item / 1000),
        st.none(),
        st.just(IDLE),
    ),
    max_size=60,
)


def reference(function: Function, newest: list[object]) -> float:
    """Aggregate the slots of a window: None is a gap, IDLE an instant in which nothing happened."""
    values = [(n, item) for n, item in enumerate(newest) if isinstance(item, float)]
    numbers = [item for _, item in values]
    if function is Function.COUNT:
        return float(len(numbers))
    if not numbers or (function is Function.RATE and len(numbers) < 2):
        return NONE
    match function:
        case Function.AVG:
            return float(sum(map(Fraction, numbers)) / len(numbers))
        case Function.SUM:
            return math.fsum(numbers)
        case Function.MAX:
            return max(numbers)
        case Function.MIN:
            return min(numbers)
        case Function.P95:
            rank = 0.95 * (len(numbers) - 1)
            ordered, below = sorted(numbers), math.floor(rank)
            upper = ordered[min(below + 1, len(numbers) - 1)]
            return ordered[below] + (upper - ordered[below]) * (rank - below)
        case _:
            (first_slot, first), (last_slot, last) = values[0], values[-1]
            return (last - first) / (last_slot - first_slot)


@pytest.mark.parametrize("function", FUNCTIONS)
@given(slots, st.integers(1, 12))
@example([1e15, 0.4, 0.4, 0.4], 3)
def test_a_window_is_what_its_newest_slots_are(function: Function, history: list[object], size: int) -> None:
    window, began = new_window(function, size, 1.0), False
    for number, item in enumerate(history):
        if item is None:
            window.push_gap()
        else:
            began = True
            window.push(None if item == IDLE else item, 1)  # type: ignore[arg-type]
        newest = history[max(0, number + 1 - size) : number + 1]
        expected = reference(function, newest)
        if function is Function.COUNT and not began:
            expected = 0.0 if number + 1 >= size else NONE
        exactly = function in (Function.AVG, Function.SUM, Function.MAX, Function.MIN)
        tolerance = 0.0 if exactly else 1e-12
        assert window.value() == pytest.approx(expected, rel=tolerance, abs=1e-30, nan_ok=True)
        assert window.count == sum(isinstance(slot, float) for slot in newest)
        assert window.idles == sum(slot == IDLE for slot in newest)


@pytest.mark.parametrize("function", [Function.AVG, Function.SUM, Function.P95])
@given(
    st.lists(
        st.one_of(
            st.floats(-1e200, 1e200),
            st.floats(-1.0, 1.0),
            st.floats(0.45, 0.55),
            st.sampled_from([None, IDLE, "extra", "band", 0.5, 1e-9, 1e15]),
        ),
        max_size=60,
    ),
    st.integers(1, 8),
    st.floats(0.4, 0.6),
    st.booleans(),
)
@example([0.5, 1e16, 0.5, 0.5, 0.75, 0.75], 2, 0.6, True)
def test_a_window_whose_watchers_sleep_says_rightly_whether_its_value_is_in_their_band(
    function: Function, history: list[object], size: int, edge: float, below: bool
) -> None:
    """Beside one that nobody sleeps on, whose every value is exact."""
    rough, exact = new_window(function, size, 1.0), new_window(function, size, 1.0)
    low, high = (-math.inf, edge) if below else (edge, math.inf)
    rough.rest(low, high)
    for item in history:
        match item:
            case None:
                said, true = rough.push_gap(), exact.push_gap()
            case "extra":
                said, true = rough.between(0.5, 0.25), exact.between(0.5, 0.25)
            case "band":
                rough.rest(low, high)
                continue
            case _:
                value = None if item == IDLE else item
                said, true = rough.push(value, 1), exact.push(value, 1)  # type: ignore[arg-type]
        assert (low <= said <= high) is (low <= true <= high)
    assert rough.value() == pytest.approx(exact.value(), rel=0.0, abs=0.0, nan_ok=True)
    assert (rough.count, rough.idles) == (exact.count, exact.idles)


@given(st.floats(1e-30, 1e9), st.integers(1, 400), st.lists(st.floats(-1e12, 1e12), max_size=20))
@example(0.4, 6, [])
@example(0.1 + 0.2, 7, [1e12])
def test_the_average_of_a_constant_is_the_constant(value: float, size: int, before: list[float]) -> None:
    window = new_window(Function.AVG, size, 1.0)
    for item in [*before, *([value] * size)]:
        window.push(item, 1)

    assert window.value() == value


@pytest.mark.parametrize("function", FUNCTIONS)
@given(slots, st.integers(1, 6), st.integers(0, 9))
def test_a_late_sample_fills_its_slot(function: Function, history: list[object], size: int, value: int) -> None:
    late, timely = new_window(function, size, 1.0), new_window(function, size, 1.0)
    for window in (late, timely):
        for item in history:
            window.push_gap() if item is None else window.push(None if item == IDLE else item, 1)  # type: ignore[arg-type]
    late.push_gap()
    late.push(float(value), 0)
    timely.push(float(value), 1)

    assert late.value() == pytest.approx(timely.value(), nan_ok=True)


@pytest.mark.parametrize("function", [Function.SUM, Function.COUNT, Function.P95, Function.RATE])
def test_samples_between_two_instants_change_no_sum_and_no_count(function: Function) -> None:
    window = new_window(function, 4, 15.0)
    for value in (1.0, 2.0, 3.0, 4.0):
        window.push(value, 1)
    before = window.value()

    assert [window.between(100.0, 5.0), window.between(100.0, 5.0)] == [before, before]


def test_samples_between_two_instants_serve_maximum_and_minimum() -> None:
    for function, value in ((Function.MAX, 100.0), (Function.MIN, -100.0)):
        window = new_window(function, 2, 15.0)
        window.push(1.0, 1)

        assert window.between(value, 5.0) == value
        assert window.push(1.0, 1) == window.push(1.0, 1) == value  # it leaves with the sample that took it along
        assert window.push(1.0, 1) == 1.0


def test_extra_samples_count_by_their_time_in_an_average() -> None:
    window = new_window(Function.AVG, 4, 15.0)
    window.push(0.0, 1)
    window.between(3.0, 5.0)
    window.between(3.0, 5.0)
    assert window.value() == pytest.approx((0.0 * 15 + 3.0 * 10) / 25)

    window.push(0.0, 1)

    assert window.value() == pytest.approx((0.0 + 2.0) / 2)  # the second instant: 3 for 10 s, 0 for 5 s


@pytest.mark.parametrize(("window", "interval", "expected"), [(60, 15, 4), (50, 15, 4), (61, 15, 5), (0.3, 0.1, 3)])
def test_a_window_is_open_on_the_left(window: float, interval: float, expected: int) -> None:
    assert slots_of(window, interval) == expected
