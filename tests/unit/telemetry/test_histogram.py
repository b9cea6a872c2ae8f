import math

from hypothesis import given
from hypothesis import strategies as st

from virtwatch_agent.telemetry.histogram import ZERO, ExponentialHistogram

NEAR = 1e-9  # of a bucket's edge, where a logarithm may round to either side


def holds(histogram: ExponentialHistogram, value: float) -> bool:
    """Tell whether a bucket that was counted holds a value."""
    place = math.log2(value) * 2**histogram.scale
    return any(index - NEAR < place <= index + 1 + NEAR for index in histogram.buckets)


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=300))
def test_every_value_lies_in_a_bucket_and_all_are_counted(values: list[float]) -> None:
    histogram = ExponentialHistogram()
    for value in values:
        histogram.record(value)

    assert histogram.count == len(values) == histogram.zeros + sum(histogram.buckets.values())
    assert histogram.zeros == sum(value <= ZERO for value in values)
    assert math.isclose(histogram.total, sum(values))
    assert all(holds(histogram, value) for value in values if value > ZERO)
    assert max(histogram.buckets, default=0) - min(histogram.buckets, default=0) < 160


def test_buckets_are_fine_until_values_lie_far_apart() -> None:
    histogram = ExponentialHistogram()
    histogram.record(0.5)
    assert histogram.scale == 5
    histogram.record(2e-6)
    assert histogram.scale == 3
    assert sorted(histogram.buckets.values()) == [1, 1]


def test_what_is_no_measurement_is_not_counted() -> None:
    histogram = ExponentialHistogram()
    for value in (-1.0, math.nan, math.inf):
        histogram.record(value)

    assert histogram.count == 0
