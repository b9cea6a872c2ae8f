"""What all tests share: how long Hypothesis searches, and which tests may run side by side."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lab.rundir import clean, leftovers
from tests.soak import SOAKING, times
from tools.checkout import CHECKOUT

# How long one example takes on a busy machine is not Hypothesis' business.
settings.register_profile(
    "virtwatch", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=times(100, 10_000)
)
settings.load_profile("virtwatch")

ROOT = Path(__file__).parent
SOAK_LIMIT_S = 6 * 60 * 60
# Folders whose tests share a control plane or guests of their own, which one process starts and its tests may break.
# Each of the processes begins with one, the longest first, and has a second one in hand: the fifth goes to the first.
TOGETHER = (
    "integration/system",
    "integration/operator",
    "integration/kube",
    "integration/agent_collect",
    "integration/telemetry",
    "integration/crds",
    "integration/guests",
    "integration/demo",
    "integration/manifests",
    "integration/cli",
)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its group for `pytest -n N --dist loadgroup`; mark those of Hypothesis as worth a long search."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item.path)))
        if getattr(getattr(item, "function", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.soak)
        if SOAKING:
            item.add_marker(pytest.mark.timeout(SOAK_LIMIT_S), append=False)
    ranks = {name: rank for rank, name in enumerate(TOGETHER)}
    items.sort(key=lambda item: ranks.get(_group(item.path), len(ranks)))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End what processes left running that were killed: those of `pytest -n` are, where a person interrupts them."""
    if not hasattr(session.config, "workerinput"):
        for run in leftovers():
            if run.checkout == CHECKOUT:
                clean(run)


def _group(path: Path) -> str:
    folder = path.parent.relative_to(ROOT).as_posix()
    return folder if folder in TOGETHER else path.relative_to(ROOT).as_posix()
