"""Derived signals stay within what happened, whatever resets, reboots, gaps and set clocks come between."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Sample, Series
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import vm_ref

FAULTS = ("none", "missed", "no figure", "reboot", "reset", "late again", "clock set", "slept")
MOST_BYTES_PER_S = 1e9
MOST_S_PER_OPERATION = 2.0


@dataclass(frozen=True)
class Step:
    """Say for how long a VM runs, at which share of its most, and what comes between it and its sample."""

    seconds: float
    share: float
    fault: str


STEPS = st.lists(
    st.builds(Step, st.floats(0.05, 300.0), st.floats(0.0, 1.0), st.sampled_from(FAULTS)), min_size=2, max_size=40
)


def samples(steps: list[Step], source: Source, growth: dict[Series, float]) -> list[Sample]:
    """Return what is seen of counters that grow, at their most, by `growth` a second."""
    clock, wall, incarnation, counters = 100.0, 1.8e9, 1, dict.fromkeys(growth, 0.0)
    slept, seen = 0.0, list[Sample]()
    for step in steps:
        asleep = step.seconds / 2 if step.fault == "slept" else 0.0  # while this machine's clock stood
        clock, wall, slept = clock + step.seconds - asleep, wall + step.seconds, slept + asleep
        if step.fault == "reboot":
            incarnation += 1
        if step.fault in ("reboot", "reset"):
            counters = dict.fromkeys(growth, 0.0)
        if step.fault == "clock set":
            wall -= 1e6 * (step.share - 0.5)
        counters = {
            key: count + most * step.share * step.seconds
            for (key, count), most in zip(counters.items(), growth.values(), strict=True)
        }
        if step.fault == "late again" and seen:
            seen.append(seen[0])
        elif step.fault != "missed":
            values = {} if step.fault == "no figure" else counters
            seen.append(Sample(vm_ref("u"), source, str(incarnation), wall, wall, clock, values, slept=slept))
    return seen


@pytest.mark.parametrize(
    ("signal", "source", "growth", "most"),
    [
        (
            "vm.network.receive.rate",
            Source.KERNEL,
            {("network.receive.bytes", "tap0"): MOST_BYTES_PER_S},
            MOST_BYTES_PER_S,
        ),
        ("vm.cpu.utilization", Source.KERNEL, {("cpu.time", "0"): 1.0, ("cpu.time", "1"): 1.0}, 1.0),
        ("vm.cpu.worst.delay.ratio", Source.KERNEL, {("cpu.delay", "0"): 1.0}, 1.0),
        (
            "vm.disk.write.latency",
            Source.BLOCK,
            {("disk.write.time", "vda"): 100 * MOST_S_PER_OPERATION, ("disk.write.operations", "vda"): 100.0},
            MOST_S_PER_OPERATION,
        ),
        ("vm.pressure.io.ratio", Source.PRESSURE, {("pressure.io", ""): 1.0}, 1.0),
    ],
)
def test_no_fault_makes_a_signal_negative_or_more_than_it_was(signal, source, growth, most):
    @given(STEPS)
    def holds(steps: list[Step]) -> None:
        deriver = Deriver()
        deriver.want([signal])
        for one in samples(steps, source, growth):
            for point in deriver.derive(one):
                assert point.value is None or 0 <= point.value <= most * (1 + 1e-6), (one, point)

    holds()
