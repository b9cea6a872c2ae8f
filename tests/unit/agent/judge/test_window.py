import pytest

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
        (Function.P95, 7.0),
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
