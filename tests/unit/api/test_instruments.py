"""Which instrument carries a signal, by the catalogue and by what policies choose."""

from virtwatch_api.catalogue.entries import Instrument
from virtwatch_api.catalogue.instruments import choices, exported, metric
from virtwatch_api.catalogue.readings import READINGS
from virtwatch_api.catalogue.signals import SIGNAL, SIGNALS


def test_without_a_choice_what_says_more_than_readings_is_told():
    usual = exported()
    assert usual.gauges | usual.summaries == {signal.name for signal in SIGNALS if signal.derived}
    assert "vm.cpu.utilization" in usual.summaries


def test_of_two_choices_the_one_that_tells_most_counts():
    chosen = exported(frozenset({("vm.network.receive.rate", item) for item in Instrument}))
    assert "vm.network.receive.rate" in chosen.summaries
    assert "vm.network.receive.rate" not in chosen.gauges


def test_a_rate_that_is_not_chosen_is_left_to_the_backend():
    assert "vm.network.receive.rate" not in exported().gauges
    assert "vm.network.receive.rate" in exported(frozenset({("vm.network.receive.rate", Instrument.GAUGE)})).gauges


def test_signals_of_one_name_are_exported_alike():
    """A backend that meets one name as a gauge and as a histogram drops one of them."""
    chosen = exported(frozenset({("vm.disk.read.latency", Instrument.GAUGE)}))
    assert {"vm.disk.read.latency", "vm.disk.write.latency"} <= chosen.gauges
    assert not {"vm.disk.read.latency", "vm.disk.write.latency"} & chosen.summaries


def test_no_choice_takes_the_name_of_a_reading():
    readings = {reading.metric for reading in READINGS}
    assert not {metric(signal) for signal in SIGNALS if choices(signal)} & readings


def test_a_mean_of_operations_is_no_counter():
    assert Instrument.COUNTER not in choices(SIGNAL["vm.disk.read.latency"])
    assert choices(SIGNAL["vm.disk.read.rate"])[0] is Instrument.COUNTER
