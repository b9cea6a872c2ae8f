"""What collecting costs: windows that forget, and figures of the real process."""

import time

from virtwatch_agent.collect.cost import CPU_WINDOW_S, WINDOW_S, CostMeter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


def test_cpu_is_that_of_the_last_minutes_and_not_of_its_life():
    clock, used = Clock(), [0.0]
    meter = CostMeter(clock, lambda: (used[0], 1.0))
    for _ in range(int(CPU_WINDOW_S / 10)):
        clock.now += 10
        used[0] += 5  # half a CPU
        meter.read()
    assert abs(meter.read().cpu - 0.5) < 0.01
    for _ in range(int(CPU_WINDOW_S / 10) + 1):
        clock.now += 10
        used[0] += 1
        meter.read()
    assert abs(meter.read().cpu - 0.1) < 0.01
    assert meter.read().cpu_total == used[0]


def test_the_worst_of_the_last_minute_counts():
    clock = Clock()
    meter = CostMeter(clock, lambda: (0.0, 1.0))
    for seconds in (0.3, 0.1, 0.2):
        meter.looked(seconds)
        meter.sampled(seconds * 10)
    assert (meter.read().scan, meter.read().lateness) == (0.3, 3.0)
    clock.now += WINDOW_S / 2
    meter.looked(0.15)
    clock.now += WINDOW_S / 2 + 1
    assert (meter.read().scan, meter.read().lateness) == (0.15, 0.0)


def test_the_real_process_costs_cpu_and_memory():
    began = time.monotonic()
    meter = CostMeter(time)
    before = meter.read()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    cost = meter.read()
    assert cost.cpu_total - before.cpu_total > 0.08  # the kernel counts in hundredths
    assert cost.cpu >= 0.08 / max(time.monotonic() - began, 1.0)
    assert cost.memory > 2**20
