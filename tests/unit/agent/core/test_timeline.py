from dataclasses import dataclass, field

import pytest

from virtwatch_agent.core.timeline import Timeline
from virtwatch_agent.observations import Sample
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import vm_ref


@dataclass
class HandClock:
    """Tell the time that a test sets; each look at the wall's clock takes as long as `pauses` says."""

    wall: float = 1_000_000.0
    since_boot: float = 50.0
    pauses: list[float] = field(default_factory=list)

    def time(self) -> float:
        told = self.wall
        if self.pauses:
            self.pass_(self.pauses.pop())
        return told

    def monotonic(self) -> float:
        return self.since_boot

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.since_boot += seconds


def sample(*, at: float, clock: float) -> Sample:
    return Sample(vm_ref("uuid"), Source.KERNEL, "1", 0.0, at, clock, {})


@pytest.mark.parametrize("step", [3600.0, -14_400.0, 1.5])
def test_a_clock_that_was_set_is_told_once(step: float) -> None:
    clock = HandClock()
    timeline = Timeline(clock)
    clock.pass_(600.0)
    assert timeline.look() == 0.0

    clock.wall += step
    clock.pass_(1.0)

    assert timeline.look() == pytest.approx(step)
    assert timeline.look() == 0.0
    assert timeline.at(clock.since_boot) == pytest.approx(clock.wall)


def test_a_clock_that_is_slewed_was_not_set() -> None:
    clock = HandClock()
    timeline = Timeline(clock)

    for _ in range(10_000):
        clock.pass_(1.0)
        clock.wall += 0.0005
        assert timeline.look() == 0.0
    assert timeline.at(clock.since_boot) == pytest.approx(clock.wall)


def test_a_process_that_is_held_up_between_two_clocks_takes_none_for_set() -> None:
    clock = HandClock()
    timeline = Timeline(clock)

    clock.pauses = [5.0]

    assert timeline.look() == 0.0
    assert timeline.look() == 0.0


def test_a_sample_from_before_the_clock_was_set_is_placed_by_the_clock_as_it_is_now() -> None:
    clock = HandClock()
    timeline = Timeline(clock)
    early = sample(at=clock.wall, clock=clock.since_boot)
    clock.wall += 3600.0
    timeline.look()
    late = sample(at=clock.wall + 0.2, clock=clock.since_boot)

    assert timeline.placed(early).at == pytest.approx(1_003_600.0)
    assert timeline.placed(late) == late
