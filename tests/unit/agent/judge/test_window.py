import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from virtwatch_agent.judge.window import Window
from virtwatch_api.policy import Aggregate, Function

SAMPLES = [(1.0, 4.0), (2.0, 1.0), (3.0, 7.0), (4.0, 2.0)]


def window(function: Function, seconds: float = 10.0) -> Window:
    filled = Window(Aggregate(function, seconds))
    for clock, value in SAMPLES:
        filled.add(clock, value)
    return filled


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (Function.LAST, 2.0),
        (Function.AVG, 3.5),
        (Function.MAX, 7.0),
        (Function.MIN, 1.0),
        (Function.P95, pytest.approx(6.55)),
        (Function.SUM, 14.0),
        (Function.COUNT, 4.0),
        (Function.RATE, pytest.approx(-2 / 3)),
    ],
)
def test_each_function_aggregates_the_window(function: Function, expected: float) -> None:
    assert window(function).value(4.0) == expected


def test_samples_leave_the_window_at_its_open_edge() -> None:
    filled = window(Function.SUM, 2.0)

    assert filled.value(4.0) == 9.0  # (2, 4]: the sample at 2.0 is out
    assert filled.value(5.9) == 2.0
    assert filled.value(6.0) is None


def test_last_stays_however_old_it_is() -> None:
    assert window(Function.LAST).value(1e6) == 2.0


def test_an_empty_window_has_no_value() -> None:
    assert Window(Aggregate(Function.AVG, 5.0)).value(0.0) is None


def test_a_rate_needs_two_samples() -> None:
    single = Window(Aggregate(Function.RATE, 5.0))
    single.add(1.0, 1.0)

    assert single.value(1.0) is None


def prometheus_quantile(q: float, samples: list[float]) -> float:
    """Do what `quantile` of Prometheus does, with its names."""
    values = sorted(samples)
    n = float(len(values))
    rank = q * (n - 1)
    lower_index = max(0.0, math.floor(rank))
    upper_index = min(n - 1, lower_index + 1)
    weight = rank - math.floor(rank)
    return values[int(lower_index)] * (1 - weight) + values[int(upper_index)] * weight


def p95(values: list[float]) -> float:
    filled = Window(Aggregate(Function.P95, 1000.0))
    for clock, value in enumerate(values):
        filled.add(float(clock), value)
    found = filled.value(float(len(values)))
    assert found is not None
    return found


values = st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=200)


@given(values)
@example([0.0, 1.0])
@example([3.0])
@example([float(number) for number in range(21)])
def test_p95_is_the_quantile_of_prometheus(values: list[float]) -> None:
    assert p95(values) == pytest.approx(prometheus_quantile(0.95, values), rel=1e-9, abs=1e-9 * max(map(abs, values)))


def test_p95_lies_between_two_samples_where_no_sample_is_it() -> None:
    assert p95([0.0, 1.0]) == pytest.approx(0.95)
    assert p95([1.0, *[0.0] * 20]) == 0.0


@given(st.floats(-1e15, 1e15), st.integers(1, 100))
def test_p95_of_equal_samples_is_their_value_to_the_last_digit(value: float, count: int) -> None:
    assert p95([value] * count) == value
