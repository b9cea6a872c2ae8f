import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtwatch_agent.judge.derive import Deriver, Point
from virtwatch_agent.observations import Glimpse, Sample, Series
from virtwatch_api.catalogue import absences
from virtwatch_api.catalogue.readings import READING, READINGS, Source
from virtwatch_api.catalogue.signals import SIGNALS
from virtwatch_api.targets import vm_ref


def sample(
    clock: float,
    values: dict[Series, float],
    *,
    source: Source = Source.KERNEL,
    incarnation: str = "1",
    slept: float = 0.0,
) -> Sample:
    return Sample(vm_ref("u"), source, incarnation, started=clock, at=clock, clock=clock, values=values, slept=slept)


def derive(signal: str, *samples: Sample) -> list[Point]:
    deriver = Deriver()
    deriver.want([signal])
    return [point for item in samples for point in deriver.derive(item)]


def test_a_rate_needs_two_samples_and_divides_by_the_seconds_between_them() -> None:
    points = derive(
        "vm.network.receive.rate",
        sample(10, {("network.receive.bytes", "tap0"): 1000}),
        sample(14, {("network.receive.bytes", "tap0"): 3000}),
    )

    assert points == [Point("vm.network.receive.rate", "tap0", 500.0)]


def test_counters_of_another_machine_went_on_while_this_one_slept() -> None:
    points = derive(
        "vm.cpu.utilization",
        sample(10, {("cpu.time", "0"): 0.0, ("cpu.count", ""): 1.0}),
        sample(15, {("cpu.time", "0"): 600.0, ("cpu.count", ""): 1.0}, slept=1195.0),
        sample(20, {("cpu.time", "0"): 602.5, ("cpu.count", ""): 1.0}, slept=1195.0),
    )

    assert [point.value for point in points] == [0.5, 0.5]


def test_cpu_utilization_is_the_mean_of_all_vcpus() -> None:
    before = {("cpu.time", "0"): 5.0, ("cpu.time", "1"): 7.0, ("cpu.count", ""): 2.0}
    after = {("cpu.time", "0"): 6.0, ("cpu.time", "1"): 7.5, ("cpu.count", ""): 2.0}

    points = derive("vm.cpu.utilization", sample(0, before), sample(1, after))

    assert points == [Point("vm.cpu.utilization", "", 0.75)]


def test_the_worst_vcpu_is_named_by_its_value_alone() -> None:
    before = {("cpu.delay", "0"): 0.0, ("cpu.delay", "1"): 0.0}
    after = {("cpu.delay", "0"): 0.1, ("cpu.delay", "1"): 0.4}

    assert derive("vm.cpu.worst.delay.ratio", sample(0, before), sample(1, after)) == [
        Point("vm.cpu.worst.delay.ratio", "", 0.4)
    ]


def test_latency_is_time_per_operation_and_has_no_value_without_operations() -> None:
    keys = (("disk.write.time", "vda"), ("disk.write.operations", "vda"))
    samples = [
        sample(clock, dict(zip(keys, values, strict=True)), source=Source.BLOCK)
        for clock, values in ((0, (0.0, 0.0)), (1, (0.5, 10.0)), (2, (0.5, 10.0)))
    ]

    name = "vm.disk.write.latency"
    assert derive(name, *samples) == [Point(name, "vda", 0.05), Point(name, "vda", None)]


def test_a_counter_that_went_back_restarts_without_a_value() -> None:
    key = ("network.receive.bytes", "tap0")

    points = derive("vm.network.receive.rate", sample(0, {key: 900}), sample(1, {key: 5}), sample(2, {key: 8}))

    assert points == [Point("vm.network.receive.rate", "tap0", 3.0)]


def test_a_new_incarnation_starts_its_rates_anew() -> None:
    key = ("network.receive.bytes", "tap0")

    points = derive("vm.network.receive.rate", sample(0, {key: 1}), sample(1, {key: 900}, incarnation="2"))

    assert points == []


def test_a_late_sample_is_passed_over() -> None:
    key = ("network.receive.bytes", "tap0")

    points = derive("vm.network.receive.rate", sample(1, {key: 1}), sample(0.5, {key: 900}), sample(2, {key: 2}))

    assert points == [Point("vm.network.receive.rate", "tap0", 1.0)]


def test_headroom_divides_one_gauge_by_another() -> None:
    values = {("memory.usable", ""): 25.0, ("memory.available", ""): 100.0}

    assert derive("vm.memory.headroom.ratio", sample(0, values, source=Source.BALLOON)) == [
        Point("vm.memory.headroom.ratio", "", 0.25)
    ]


def test_every_signal_with_a_formula_names_known_readings_of_one_source() -> None:
    for signal in SIGNALS:
        if signal.formula is not None:
            assert signal.readings <= READING.keys()
            assert len(signal.sources) == 1, signal.name


def test_reading_keys_are_unique() -> None:
    assert len(READING) == len(READINGS)


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=30))
def test_rates_of_growing_counters_add_up_to_the_growth(increments: list[float]) -> None:
    key = ("network.receive.bytes", "tap0")
    total = 0.0
    samples = []
    for clock, increment in enumerate(increments):
        total += increment
        samples.append(sample(float(clock), {key: total}))

    rates = [point.value for point in derive("vm.network.receive.rate", *samples)]

    assert len(rates) == len(increments) - 1
    assert abs(sum(rates) - (total - increments[0])) <= 1e-6 * max(1.0, total)


def vcpus(delays: list[float], *, throttled: float | None = None) -> dict[Series, float]:
    values: dict[Series, float] = {("cpu.delay", str(number)): delay for number, delay in enumerate(delays)}
    return values if throttled is None else {**values, ("cpu.throttled", ""): throttled}


def test_a_vcpu_that_is_plugged_in_does_not_halve_the_utilization() -> None:
    one = {("cpu.time", "0"): 5.0, ("cpu.count", ""): 1.0}
    two = {("cpu.time", "0"): 5.9, ("cpu.time", "1"): 0.1, ("cpu.count", ""): 2.0}
    [point] = derive("vm.cpu.utilization", sample(0, one), sample(1, two))
    assert point.value == pytest.approx(0.9)


def test_run_delay_is_what_the_host_took_not_the_vms_own_limit() -> None:
    looks = sample(0, vcpus([0.0, 0.0], throttled=0.0)), sample(1, vcpus([0.8, 0.4], throttled=0.9))
    [mean] = derive("vm.cpu.delay.ratio", *looks)
    assert mean.value == pytest.approx(0.15)
    [worst] = derive("vm.cpu.worst.delay.ratio", *looks)
    assert worst.value == pytest.approx(0.2)


def test_more_throttling_than_delay_leaves_no_delay() -> None:
    looks = sample(0, vcpus([0.0], throttled=0.0)), sample(1, vcpus([0.8], throttled=0.9))
    assert [point.value for point in derive("vm.cpu.delay.ratio", *looks)] == [0.0]


def test_where_no_limit_can_be_read_all_delay_counts() -> None:
    looks = sample(0, vcpus([0.0])), sample(1, vcpus([0.8]))
    assert [point.value for point in derive("vm.cpu.delay.ratio", *looks)] == [0.8]


@pytest.mark.parametrize("every", [1, 5, 15])
def test_a_guests_rates_go_by_the_guests_own_reports(every: int) -> None:
    """A guest that swaps 10 MiB/s and reports each 10 s, looked at more often or less often than it reports."""
    looks = []
    for clock in range(0, 121, every):
        reported = clock - clock % 10
        values = {
            ("memory.swap_in", ""): 10.0 * reported,
            ("memory.swap_out", ""): 0.0,
            ("memory.guest.updated", ""): 1_000.0 + reported,
        }
        looks.append(sample(clock, values, source=Source.BALLOON))
    values = [point.value for point in derive("vm.memory.swap.rate", *looks)]
    assert set(values) == {10.0}
    assert len(values) == {1: 12, 5: 12, 15: 8}[every]


def test_a_source_that_knows_why_it_gives_nothing_is_believed_only_in_the_catalogues_words():
    deriver = Deriver()
    deriver.want(["vm.pressure.cpu.ratio"])
    said = [absences.NO_OWN_GROUP, absences.NO_GROUPS, "rm -rf /"]
    told = []
    for clock, why in enumerate(said):
        at = float(clock)
        one = Sample(vm_ref("a"), Source.PRESSURE, "1", at, at, at, {}, unavailable={"pressure.cpu": why})
        deriver.derive(one)
        told.append(deriver.absence("vm.pressure.cpu.ratio"))
    assert told == [absences.NO_OWN_GROUP, absences.NO_GROUPS, absences.NO_GROUP_PRESSURE]


def test_a_rate_is_over_the_moment_before_where_that_is_known() -> None:
    """The load began a second ago: over all the time since the last look it would be a tenth."""
    deriver = Deriver()
    deriver.want(["vm.cpu.utilization", "vm.network.receive.rate"])
    nic = ("network.receive.bytes", "tap0")
    deriver.derive(sample(0, {("cpu.time", "0"): 0.0, nic: 0.0}))
    look = sample(10, {("cpu.time", "0"): 1.0, nic: 1000.0})

    measured = deriver.measure(look, due=10, before=Glimpse(9, {("cpu.time", "0"): 0.0}))

    assert measured is not None
    assert sorted(measured.points) == [
        Point("vm.cpu.utilization", "", 1.0),
        Point("vm.network.receive.rate", "tap0", 100.0),
    ]


def test_a_moment_before_the_last_look_changes_nothing() -> None:
    deriver = Deriver()
    deriver.want(["vm.cpu.utilization"])
    deriver.derive(sample(0, {("cpu.time", "0"): 0.0}))
    look = sample(10, {("cpu.time", "0"): 1.0})

    measured = deriver.measure(look, due=10, before=Glimpse(-1, {("cpu.time", "0"): 0.0}))

    assert measured is not None
    assert measured.points == [Point("vm.cpu.utilization", "", 0.1)]


def test_a_delay_is_not_told_over_a_moment_without_its_throttling() -> None:
    deriver = Deriver()
    deriver.want(["vm.cpu.delay.ratio"])
    first = {("cpu.delay", "0"): 0.0, ("cpu.throttled", ""): 0.0}
    deriver.derive(sample(0, first))
    look = sample(10, {("cpu.delay", "0"): 2.0, ("cpu.throttled", ""): 1.0})

    measured = deriver.measure(look, due=10, before=Glimpse(9, {("cpu.delay", "0"): 1.0}))

    assert measured is not None
    assert measured.points == [Point("vm.cpu.delay.ratio", "", 0.1)]


def test_a_share_is_never_more_than_the_whole() -> None:
    """The kernel counts a busy CPU by ticks: more of them than fit may be told between two looks."""
    points = derive("vm.cpu.utilization", sample(0, {("cpu.time", "0"): 0.0}), sample(1, {("cpu.time", "0"): 1.0059}))
    assert points == [Point("vm.cpu.utilization", "", 1.0)]
