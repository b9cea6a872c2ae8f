from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.integration.agent_core.scripted import Outside
from virtwatch_agent.collect.cost import Cost, CostMeter
from virtwatch_agent.core.context import Context
from virtwatch_agent.core.outcome import Outcome
from virtwatch_agent.journal.store import Journal
from virtwatch_api.nodemonitor import Condition, ConditionType, NodeStatus
from virtwatch_api.policy import Function
from virtwatch_rules.budget import WindowBudget


@dataclass
class HandClock:
    """Tell the time that a test sets."""

    wall: float = 1_000_000.0
    since_boot: float = 50.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.since_boot

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.since_boot += seconds


HOUR = 3600.0


def opened(
    folder: Path,
    outside: Outside,
    clock: HandClock,
    *,
    measure: Callable[[], tuple[float, float]] = lambda: (0.0, 1.0),
    cost: Callable[[], Cost] | None = None,
) -> Outcome:
    outcome = Outcome(
        Journal(folder),
        outside,
        outside,
        clock,
        new_epoch=lambda: "e",
        cost=cost or CostMeter(clock, measure).read,
        started=clock.time(),
        burst=10,
        wake=lambda: None,
    )
    outcome.open()
    return outcome


@pytest.mark.parametrize("step", [-4 * HOUR, 4 * HOUR])
def test_a_quiet_node_goes_on_reporting_and_its_cost_stays_true_though_the_clock_steps(
    tmp_path: Path, step: float
) -> None:
    clock, outside, spent = HandClock(), Outside(), 0.0
    outcome = opened(tmp_path, outside, clock, measure=lambda: (spent, 1.0))
    context = Context(WindowBudget())
    clock.pass_(100.0)
    outcome.settle(tuple, context)
    published = len(outside.statuses)

    clock.wall += step
    for _ in range(100):
        clock.pass_(1.0)
        outcome.settle(tuple, context)
        outcome.flush()  # the disk answers before more time passes
    spent = 20.0
    clock.pass_(60.0)
    outcome.settle(tuple, context)
    outcome.close()

    assert len(outside.statuses) - published == 2
    assert outside.statuses[-1].agent.cpu == pytest.approx(20.0 / 260.0)
    assert outside.statuses[-1].agent.reported == clock.time()


class Held:
    """Hold windows, as the store of a target does."""

    def __init__(self, budget: WindowBudget) -> None:
        self.budget = budget
        self.shown: list[SimpleNamespace] = []
        budget.join(self)

    def readings(self) -> list[SimpleNamespace]:
        return self.shown

    def open(self) -> None:
        shown = SimpleNamespace(window=self.budget.open(Function.P95, 86_400, 1.0), function=Function.P95)
        shown.show = lambda window: setattr(shown, "window", window)
        self.shown.append(shown)


def test_windows_that_became_coarser_are_a_condition_and_one_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, outside = HandClock(), Outside()
    outcome, windows = opened(tmp_path, outside, clock), WindowBudget(1 << 20)
    context, held = Context(windows), Held(windows)
    outcome.settle(tuple, context)
    assert exact(outside.statuses[-1]) == (True, "Fit")

    while windows.problem == "":
        held.open()
    for _ in range(3):
        outcome.settle(tuple, context)
    outcome.close()

    assert exact(outside.statuses[-1]) == (False, "Coarser")
    lines = [record.getMessage() for record in caplog.records if "windows" in record.getMessage()]
    assert lines == [windows.problem]
    assert "may take 1Mi together" in lines[0]


def exact(status: NodeStatus) -> tuple[bool, str]:
    [found] = [item for item in status.conditions if item.type == ConditionType.WINDOWS_EXACT]
    return found.status, found.reason


def condition(outside: Outside, type_: ConditionType) -> Condition:
    [found] = [item for item in outside.statuses[-1].conditions if item.type == type_]
    return found


def test_what_the_agent_costs_and_that_it_slows_down_is_reported(tmp_path: Path) -> None:
    clock, outside, spent = HandClock(), Outside(), 0.0
    meter = CostMeter(clock, lambda: (spent, 5e7), budget=0.1)
    meter.watch(calls=lambda: 42, open_calls=lambda: 1, stuck=lambda: 2)
    outcome = opened(tmp_path, outside, clock, cost=meter.read)
    context = Context(WindowBudget())
    clock.pass_(10.0)
    meter.looked(0.25)
    meter.sampled(1.5)
    outcome.changed = True
    outcome.settle(tuple, context)
    outcome.flush()
    agent = outside.statuses[-1].agent
    assert (agent.scan, agent.lateness, agent.calls, agent.stuck) == (0.25, 1.5, 42, 2)
    assert (agent.budget, agent.slowdown) == (0.1, 1.0)
    assert condition(outside, ConditionType.WITHIN_BUDGET).status is True

    spent = 5.0
    clock.pass_(10.0)
    meter.keep_budget()
    outcome.changed = True
    outcome.settle(tuple, context)
    outcome.flush()

    assert outside.statuses[-1].agent.slowdown == 1.5
    said = condition(outside, ConditionType.WITHIN_BUDGET)
    assert (said.status, said.reason) == (False, "SlowedDown")
    assert "no more than 0.1 CPUs" in said.message
    assert "1.5 times less often" in said.message
    outcome.close()
