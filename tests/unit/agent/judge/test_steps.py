"""The short way to a point leads to what the way for all formulas does."""

from hypothesis import example, given
from hypothesis import strategies as st

from virtwatch_agent.judge.steps import Row, Step, step_of
from virtwatch_api.catalogue.signals import SIGNALS
from virtwatch_rules.inputs import Point

NAN = float("nan")
DEVICES = ("a", "b", "c")
WITH_FORMULA = [item for item in SIGNALS if item.formula is not None]
# Few values, so that counters stand, grow and go back; a series that an older sample had not is NaN there.
LOOK = st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0, 1e9]), min_size=24, max_size=24)
BEFORE = st.none() | st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0, NAN]), min_size=24, max_size=24)


def rows_of(readings: frozenset[str], devices: int) -> dict[str, Row]:
    """Give each reading a place for each of so many devices, and one without a device; none to every fifth choice."""
    rows: dict[str, Row] = {}
    for number, reading in enumerate(sorted(readings)):
        named = DEVICES[: devices % 4] if devices < 4 or number % 2 else ()
        if devices % 5 != number + 1:
            rows[reading] = [(device, number * 4 + place) for place, device in enumerate((*named, ""))]
    return rows


def both_ways(step: Step, now: list[float], before: list[float] | None, seconds: float) -> tuple[list[Point], ...]:
    return step.points(now, before, seconds), Step.points(step, now, before, seconds)


@given(st.integers(0, 12), LOOK, BEFORE, st.sampled_from([-1.0, 0.0, 0.5, 15.0]))
@example(3, [3.0] * 24, [0.0] * 24, 1.0)
def test_each_step_says_what_the_way_for_all_formulas_does(
    devices: int, now: list[float], before: list[float] | None, seconds: float
) -> None:
    for signal in WITH_FORMULA:
        step = step_of(signal, rows_of(signal.readings, devices))
        short, general = both_ways(step, now, before, seconds)
        assert short == general, signal.name
        assert all(type(point) is Point for point in short)
        assert step.gives or not general, signal.name


def test_simple_formulas_take_the_short_way() -> None:
    short = {item.name for item in WITH_FORMULA if type(step_of(item, {})).points is not Step.points}
    assert {"vm.cpu.utilization", "vm.cpu.delay.ratio", "vm.memory.rss", "vm.network.receive.rate"} <= short
    assert "vm.disk.write.latency" not in short
