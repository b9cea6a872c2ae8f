from collections import Counter

import pytest

from virtwatch_api.catalogue.absence import reasons, why_absent
from virtwatch_api.catalogue.entries import Source
from virtwatch_api.catalogue.events import EVENTS
from virtwatch_api.catalogue.readings import READING, READINGS
from virtwatch_api.catalogue.signals import SIGNALS, Signal

IMPLEMENTED = [signal for signal in SIGNALS if signal.formula is not None]


def _twice(names: list[object]) -> list[object]:
    return [name for name, count in Counter(names).items() if count > 1]


@pytest.mark.parametrize("signal", IMPLEMENTED, ids=lambda signal: signal.name)
def test_every_signal_has_exactly_one_source(signal: Signal) -> None:
    assert signal.readings <= READING.keys()
    assert len(signal.sources) == 1


def test_names_are_unique() -> None:
    assert _twice([signal.name for signal in SIGNALS]) == []
    assert _twice([event.name for event in EVENTS]) == []
    assert _twice([event.otel_name for event in EVENTS]) == []
    assert _twice([reading.key for reading in READINGS]) == []


def test_no_two_readings_write_the_same_series() -> None:
    assert _twice([(reading.metric, reading.attributes) for reading in READINGS]) == []


def test_one_metric_has_one_unit_and_one_instrument() -> None:
    described = {(reading.metric, reading.unit, reading.instrument) for reading in READINGS}

    assert _twice([metric for metric, _, _ in described]) == []


def test_units_are_those_of_opentelemetry() -> None:
    base = {"s", "By", "1"}
    for unit in (*(signal.unit for signal in SIGNALS), *(reading.unit for reading in READINGS)):
        amount = unit.removesuffix("/s")
        assert amount in base or (amount.startswith("{") and amount.endswith("}")), unit


def test_every_description_is_a_sentence() -> None:
    for entry in (*SIGNALS, *EVENTS, *READINGS):
        assert entry.description[0].isupper() or entry.description.startswith("vCPU"), entry
        assert entry.description.endswith((".", "…")), entry


def test_every_signal_says_what_a_bad_value_means_and_what_to_do() -> None:
    for signal in SIGNALS:
        for sentence in (signal.bad_value, signal.remedy):
            assert sentence[:1].isupper() or sentence.startswith("virtwatch"), signal.name
            assert sentence.endswith("."), signal.name


@pytest.mark.parametrize("source", Source)
def test_every_source_says_its_cost_and_why_it_may_be_absent(source: Source) -> None:
    assert source.cost
    assert source.absence


@pytest.mark.parametrize("signal", IMPLEMENTED, ids=lambda signal: signal.name)
def test_of_every_signal_it_can_be_said_why_it_is_absent(signal: Signal) -> None:
    assert why_absent(signal.name, {}, {}) in reasons(signal.name)
