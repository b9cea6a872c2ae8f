import pytest

from virtwatch_rules.anomaly.rollup import SENSITIVITIES, WEEK_S, Rollup

MEDIUM = SENSITIVITIES["Medium"]
BOUND = MEDIUM.bound


def minutes(rollup: Rollup, totals: list[float], *, begin: float = 1.0) -> list[bool]:
    return [rollup.holds(total, at=begin + index * 60, firing=False) for index, total in enumerate(totals)]


def test_three_of_four_minutes_over_the_bound_are_a_finding() -> None:
    assert minutes(Rollup(MEDIUM), [BOUND, 0, BOUND, 0, BOUND, BOUND]) == [False] * 5 + [True]


def test_it_holds_until_the_sum_is_far_below_the_bound() -> None:
    rollup = Rollup(MEDIUM)
    assert rollup.holds(0.6 * BOUND, at=1, firing=True)
    assert not rollup.holds(0.4 * BOUND, at=61, firing=True)


def test_each_finding_raises_the_bound_which_comes_down_at_the_rate_of_the_budget() -> None:
    rollup = Rollup(MEDIUM)
    minutes(rollup, [BOUND] * 3)
    assert rollup.bound == 1.25 * BOUND
    hours = int(2 * WEEK_S / 3600) + 1
    for hour in range(hours):
        rollup.holds(0.0, at=181 + hour * 3600.0, firing=False)
    assert rollup.bound == BOUND
    assert rollup.findings == 1
    assert rollup.per_week is not None
    assert 0.4 < rollup.per_week < 0.6


def test_low_sensitivity_finds_only_what_lasts() -> None:
    low = SENSITIVITIES["Low"]
    assert not any(minutes(Rollup(low), [10 * low.bound] * 23 + [0.0] * 60))
    assert any(minutes(Rollup(low), [low.bound] * 24))
    edited = Rollup(MEDIUM)
    minutes(edited, [BOUND] * 2)
    edited.renew(low)
    assert not any(minutes(edited, [BOUND] * 21, begin=121))
    assert minutes(edited, [BOUND], begin=121 + 21 * 60) == [True]


def test_sensitivities_differ_in_bound_duration_and_budget() -> None:
    low, medium, high = (SENSITIVITIES[name] for name in ("Low", "Medium", "High"))
    assert low.minutes > medium.minutes == high.minutes
    assert medium.bound > high.bound
    assert (low.per_week, medium.per_week, high.per_week) == (0.1, 0.5, 2.0)


def test_a_bound_keeps_how_far_it_was_raised_where_the_lowest_changes() -> None:
    rollup = Rollup(MEDIUM)
    rollup.bound = 2 * BOUND
    high = SENSITIVITIES["High"]

    rollup.renew(high)
    assert rollup.bound == pytest.approx(2 * high.bound)

    rollup.resume(2 * BOUND, lowest=BOUND)
    assert rollup.bound == pytest.approx(2 * high.bound)


def test_a_bound_that_came_back_is_never_beyond_what_findings_make() -> None:
    rollup = Rollup(MEDIUM)
    for saved, bound in ((100.0, 2.5 * BOUND), (0.0, BOUND)):
        rollup.resume(saved, lowest=BOUND)
        assert rollup.bound == pytest.approx(bound)
