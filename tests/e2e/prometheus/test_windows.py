"""Windows of random series, other ones each time, are what a running Prometheus says."""

import random

import pytest

from tests.prometheus_windows import ask_prometheus, random_cases
from tests.soak import times
from tests.unit.agent.judge.test_prometheus import differences


@pytest.mark.soak
def test_windows_of_new_series_are_what_prometheus_says() -> None:
    seed = random.randrange(10**9)
    cases = random_cases(seed, times(500, 30_000))

    assert differences(cases, ask_prometheus(cases)) == [], f"seed {seed}"
