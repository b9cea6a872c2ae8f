"""What the core hands to telemetry of each sample."""

import time
from collections.abc import Callable

from lab.process import wait_for
from tests.integration.agent_core.scripted import UUID, Agent, Outside, policy
from virtwatch_agent.observations import Sample
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import vm_ref
from virtwatch_rules.inputs import Point

BUSY = {"name": "busy", "threshold": {"signal": "vm.memory.rss", "warning": {"above": 100}}}


class Counting(Outside):
    """Want every value of a signal that no rule asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[list[Point]] = []

    def choose(self, target: object, instruments: object, *, series: int = 0) -> frozenset[str]:
        super().choose(target, instruments, series=series)
        return frozenset({"vm.cpu.utilization"})

    def sample(self, subject: object, sample: Sample, *, points: list[Point] = (), **_: object) -> None:
        self.points.append(list(points))


def uses_cpu(agent: Agent) -> Callable[[float, float], None]:
    def sees(seconds: float, clock: float) -> None:
        now, values = time.time(), {("cpu.time", "0"): seconds, ("memory.rss", ""): 50.0}
        agent.say(Sample(vm_ref(UUID), Source.KERNEL, "1", now, now, clock, values))

    return sees


def test_every_value_of_a_summary_is_handed_over_with_and_without_rules(tmp_path) -> None:
    outside = Counting()
    agent = Agent(tmp_path, outside=outside)
    sees, began = uses_cpu(agent.appear()), time.monotonic()
    for second, used in enumerate((0.0, 0.25, 1.0)):
        sees(used, began + second)
    agent.judge_by(policy(BUSY))
    agent.until(lambda status: bool(status.applied))
    sees(2.0, began + 3)
    wait_for(lambda: len(outside.points) == 4, what="four samples", deadline=20)
    agent.core.stop()

    used = [[point.value for point in points if point.signal == "vm.cpu.utilization"] for points in outside.points]
    assert used == [[], [0.25], [0.75], [1.0]]


def test_the_lowest_bound_on_series_counts_and_what_it_cuts_is_reported(tmp_path) -> None:
    outside = Outside()
    agent = Agent(tmp_path, outside=outside)
    agent.appear()
    agent.judge_by(
        policy(BUSY, name="wide", collection={"series": 200}),
        policy({**BUSY, "name": "other"}, name="narrow", collection={"series": 50}),
        policy({**BUSY, "name": "third"}, name="any"),
    )
    agent.until(lambda status: len(status.applied) == 3)
    assert outside.bounds[vm_ref(UUID)] == 50

    outside.cut = {vm_ref(UUID): 7}
    status = agent.until(lambda status: any(item.cut_series for item in status.applied))
    agent.core.stop()

    cut = {item.policy.name: (item.cut_series, item.cut_targets) for item in status.applied}
    assert cut == {"wide": (0, 0), "narrow": (7, 1), "any": (0, 0)}
