"""What all tests share: how long Hypothesis searches, and which tests may run side by side."""

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from lab.rundir import clean, leftovers
from tests.soak import SOAKING, times
from tools.checkout import CHECKOUT

# How long one example takes on a busy machine is not Hypothesis' business.
settings.register_profile(
    "virtwatch", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=times(100, 10_000)
)
settings.load_profile("virtwatch")

SOAK_LIMIT_S = 6 * 60 * 60
# Folders whose tests share a control plane or guests of their own, which one process starts and its tests may break.
# Each of the processes begins with one, the longest first, and takes another when two tests of its own are left.
# What takes longest is halved by its files: a second control plane costs less than the others' wait for it.
TOGETHER = (
    "integration/operator 0",
    "integration/operator 1",
    "integration/agent_collect 0",
    "integration/system 0",
    "integration/agent_collect 1",
    "integration/system 1",
    "integration/cli",
    "integration/kube",
    "integration/manifests",
    "integration/guests",
    "integration/crds",
    "integration/demo",
    "integration/telemetry",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the groups that take longest; mark the tests of Hypothesis as worth a long search."""
    for item in items:
        if getattr(getattr(item, "function", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.soak)
        if SOAKING:
            item.add_marker(pytest.mark.timeout(SOAK_LIMIT_S), append=False)
    ranks = {name: rank for rank, name in enumerate(TOGETHER)}
    items.sort(key=lambda item: ranks.get(_group(item.nodeid), len(ranks)))


class _ByGroup(LoadScopeScheduling):
    """Gives a whole group to one process: pytest-xdist's own groups by mark need an older pytest than 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByGroup:
    """Let `pytest -n` deal out groups, whatever its `--dist` says."""
    return _ByGroup(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End with a group what it started: kept until the process ends, each control plane takes CPU and memory of all."""
    yield
    if nextitem is not None and (group := _group(item.nodeid)) in TOGETHER and group != _group(nextitem.nodeid):
        item.session._setupstate.teardown_exact(None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End what processes left running that were killed: those of `pytest -n` are, where a person interrupts them."""
    if not hasattr(session.config, "workerinput"):
        for run in leftovers():
            if run.checkout == CHECKOUT:
                clean(run)


def _group(nodeid: str) -> str:
    file = PurePath(nodeid.partition("::")[0])
    folder = PurePath(*file.parts[1:-1]).as_posix()
    half = f"{folder} {sum(file.name.encode()) % 2}"
    return next((name for name in (folder, half) if name in TOGETHER), str(file))
