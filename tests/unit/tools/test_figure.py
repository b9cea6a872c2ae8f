import json

import pytest

from tools.bench.figure import Figure, percentile
from tools.bench.tests import _told


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_the_nearest_rank(share: float, value: int) -> None:
    assert percentile(range(100, 0, -1), share) == value


def test_the_percentile_of_one_measurement_is_itself() -> None:
    assert percentile([0.4], 0.99) == 0.4


@pytest.mark.parametrize(("value", "goal", "met"), [(1.0, 1.0, True), (1.01, 1.0, False), (5.0, None, None)])
def test_a_figure_says_whether_its_goal_is_met(value: float, goal: float | None, met: bool | None) -> None:
    line = Figure(name="delay", value=value, unit="s", goal=goal, detail="one VM").line()
    assert json.loads(line) == {
        "name": "delay",
        "value": value,
        "unit": "s",
        "goal": goal,
        "met": met,
        "detail": "one VM",
    }


REPORT = """\
<testsuites><testsuite name="pytest" tests="3" failures="1" errors="0">
<testcase classname="a" name="test_quick@integration/kube" time="0.2"/>
<testcase classname="a" name="test_slow[a@b]@integration/kube" time="31.4"><failure message="no"/></testcase>
<testcase classname="b" name="test_middling" time="2.6"/>
</testsuite></testsuites>
"""


def test_a_run_of_the_tests_is_told_with_its_slowest_first() -> None:
    assert _told(REPORT) == "3 tests, 1 red; slowest: test_slow[a@b] 31 s, test_middling 3 s, test_quick 0 s"
