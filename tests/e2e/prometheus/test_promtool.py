import os
from pathlib import Path

import pytest

from lab.prometheus.binaries import promtool
from tests.prometheus.cases import cases
from tests.prometheus.judged import judge
from tests.prometheus.promql import ask
from tests.soak import SOAKING, times

# Each run of `make soak` asks about rules that nobody saw before; a failure names the seed. pytest-xdist's processes
# share one.
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or os.urandom(3).hex()
FIRST = int(RUN[:6], 16) if SOAKING else 2


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + times(1, 20)))
def test_random_rules_fire_when_they_do_in_prometheus(seed: int, tmp_path: Path) -> None:
    asked = cases(seed, times(150, 1000))

    theirs = ask(promtool(), asked, tmp_path)

    differ = {case.number: (judge(case), theirs[case.number]) for case in asked if judge(case) != theirs[case.number]}
    assert differ == {}, f"seed {seed}: (ours, Prometheus')"
