"""What a sample tells depends on its values alone: not on their order, nor on whether the last one held the same."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Sample, Series
from virtwatch_api.catalogue.readings import READINGS, Source
from virtwatch_api.catalogue.signals import SIGNALS, TargetKind
from virtwatch_api.targets import vm_ref

OF_VM = [item for item in READINGS if item.target is TargetKind.VIRTUAL_MACHINE]
SIGNALS_OF_VM = [item.name for item in SIGNALS if item.target is TargetKind.VIRTUAL_MACHINE and item.formula]
# A few values, so that counters stand, grow and go back, and guests report the same again.
LOOKS = st.lists(
    st.tuples(st.sampled_from([Source.KERNEL, Source.BLOCK, Source.BALLOON]), st.integers(0, 3), st.integers(0, 2**32)),
    min_size=2,
    max_size=12,
)


def values_of(source: Source, level: int, seed: int) -> dict[Series, float]:
    """Return values that are those of before where the level is; one in ten is missing, by the seed."""
    random, found = Random(seed), {}
    for item in OF_VM:
        if item.source is source:
            for number, device in enumerate(("",) if item.device is None else ("a", "b")):
                if level and random.random() < 0.9:
                    found[item.key, device] = float(level * (number + 1 + len(item.key) % 3))
    return found


@given(LOOKS, st.randoms(use_true_random=False))
def test_order_and_what_was_before_change_nothing(looks: list[tuple[Source, int, int]], random: Random) -> None:
    straight, shuffled = Deriver(), Deriver()
    straight.want(SIGNALS_OF_VM)
    shuffled.want(SIGNALS_OF_VM)
    for number, (source, level, seed) in enumerate(looks):
        values = values_of(source, level, seed if level > 2 else 0)
        mixed = list(values.items())
        random.shuffle(mixed)
        clock = 10.0 * number
        looks_at = [
            deriver.measure(Sample(vm_ref("u"), source, "1", 0.0, clock, clock, given_), due=clock)
            for deriver, given_ in ((straight, values), (shuffled, dict(mixed)))
        ]
        assert looks_at[0] is not None
        assert looks_at[1] is not None
        assert sorted(looks_at[0].points, key=str) == sorted(looks_at[1].points, key=str)
        assert (looks_at[0].signals, looks_at[0].devices) == (looks_at[1].signals, looks_at[1].devices)
        assert [straight.given(name) for name in SIGNALS_OF_VM] == [shuffled.given(name) for name in SIGNALS_OF_VM]


def test_counters_that_stand_grow_by_nothing_however_often_they_are_read() -> None:
    deriver, values = Deriver(), {("cpu.time", "0"): 5.0, ("memory.rss", ""): 7.0}
    deriver.want(["vm.cpu.utilization", "vm.memory.rss"])
    points = [
        {
            point.signal: point.value
            for point in deriver.derive(Sample(vm_ref("u"), Source.KERNEL, "1", 0.0, at, at, now))
        }
        for at, now in [
            (0.0, values),
            (1.0, values),
            (3.0, dict(values)),
            (4.0, values),
            (6.0, {**values, ("cpu.time", "0"): 6.0}),
        ]
    ]
    assert points == [
        {"vm.memory.rss": 7.0},
        *[{"vm.cpu.utilization": 0.0, "vm.memory.rss": 7.0}] * 3,
        {"vm.cpu.utilization": 0.5, "vm.memory.rss": 7.0},
    ]
