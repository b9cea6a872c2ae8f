from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import Outside
from virtwatch_agent.core.context import Context
from virtwatch_agent.core.outcome import Outcome
from virtwatch_agent.journal.store import Journal


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


@pytest.mark.parametrize("step", [-4 * HOUR, 4 * HOUR])
def test_a_quiet_node_goes_on_reporting_and_its_cost_stays_true_though_the_clock_steps(
    tmp_path: Path, step: float
) -> None:
    clock, outside, spent = HandClock(), Outside(), 0.0
    outcome = Outcome(
        Journal(tmp_path),
        outside,
        outside,
        clock,
        new_epoch=lambda: "e",
        measure=lambda: (spent, 1.0),
        started=clock.time(),
        burst=10,
        wake=lambda: None,
    )
    outcome.open()
    context = Context()
    clock.pass_(100.0)
    outcome.settle((), context)
    published = len(outside.statuses)

    clock.wall += step
    for _ in range(100):
        clock.pass_(1.0)
        outcome.settle((), context)
        outcome.flush()  # the disk answers before more time passes
    spent = 20.0
    clock.pass_(60.0)
    outcome.settle((), context)
    outcome.close()

    assert len(outside.statuses) - published == 2
    assert outside.statuses[-1].agent.cpu == pytest.approx(20.0 / 260.0)
    assert outside.statuses[-1].agent.reported == clock.time()
