"""A CPU budget is kept by asking less often, monitors first, and is eased again."""

import threading
import time
from collections.abc import Mapping

from lab.process import wait_for
from virtwatch_agent.collect.budget import MOST, Budget, Slowdown
from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.paced import PacedCollector
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import TargetRef, vm_ref


def test_monitors_are_slowed_first_and_all_else_when_that_is_not_enough():
    budget = Budget(0.1)
    first = budget.look(0.12)
    assert first == Slowdown(1.2, 1.0)
    while budget.look(0.2).monitor < MOST:
        assert budget.slowdown.rest == 1.0
    assert 1.0 < budget.look(0.2).rest <= MOST
    for _ in range(10):
        budget.look(0.2)
    assert budget.slowdown == Slowdown(MOST, MOST)
    assert budget.slowdown.at_its_end


def test_it_is_eased_only_with_room_to_spare():
    budget = Budget(0.1)
    budget.look(0.2)
    slowed = budget.slowdown
    assert budget.look(0.09) == slowed
    assert budget.look(0.05).monitor < slowed.monitor
    for _ in range(10):
        budget.look(0.01)
    assert budget.slowdown == Slowdown()


def test_without_a_budget_nothing_is_slowed():
    assert Budget(0.0).look(100.0) == Slowdown()


class Plans:
    """A collector that costs as much CPU as it is asked often."""

    def __init__(self) -> None:
        self.plans: list[Mapping[Source, float]] = []
        self.glances: list[object] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self, deliver: object) -> None:
        self._thread.start()

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        self.plans.append(intervals)

    def scatter(self, target: TargetRef, within: Mapping[Source, float]) -> None: ...

    def look_again(self, target: TargetRef, source: Source, at: float) -> None: ...

    def glance(self, target: TargetRef, bounds: object) -> None:
        self.glances.append(bounds)

    def launchers(self, pods: frozenset[str]) -> None: ...

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(0.02):
            asked = self.plans[-1].get(Source.BLOCK, 1.0) if self.plans else 1.0
            end = time.thread_time() + 0.02 / asked
            while time.thread_time() < end:
                pass


def test_a_real_process_that_is_over_its_budget_asks_less_often():
    cost, plans = CostMeter(time, budget=0.02), Plans()
    paced = PacedCollector(plans, cost, look_s=0.2)
    paced.start(lambda *_: None)
    paced.plan(vm_ref("a"), {Source.KERNEL: 1.0, Source.BLOCK: 1.0})
    paced.glance(vm_ref("a"), {"vm.cpu.utilization": [0.9]})
    assert plans.plans == [{Source.KERNEL: 1.0, Source.BLOCK: 1.0}]

    wait_for(lambda: plans.plans[-1][Source.BLOCK] >= MOST, what="the monitor to be asked less often", deadline=60)

    first = next(plan for plan in plans.plans if plan[Source.BLOCK] > 1.0)
    assert first[Source.KERNEL] == 1.0
    assert cost.read().slowdown.monitor >= MOST
    assert plans.glances == [{"vm.cpu.utilization": [0.9]}, {}]
    paced.stop()
