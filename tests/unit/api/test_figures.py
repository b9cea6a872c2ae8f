import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from virtwatch_api.catalogue.signals import SIGNAL, SIGNALS
from virtwatch_api.evidence_codec import decode_evidence, encode_evidence, for_people, rounded
from virtwatch_api.figures import parse_value
from virtwatch_api.nodemonitor import Evidence

FIGURES = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)


@pytest.mark.parametrize(
    ("signal", "value", "text"),
    [
        ("vm.memory.headroom.ratio", 0.12, "12 %"),
        ("vm.memory.headroom.ratio", 0.0501, "5.01 %"),
        ("node.cpu.allocation.ratio", 1.5, "1.5"),
        ("vm.memory.rss", 4294967296, "4Gi"),
        ("vm.memory.rss", 1023.9 * 2**20, "1Gi"),
        ("vm.memory.rss", 512, "512 B"),
        ("vm.disk.read.rate", 45 * 2**20, "45Mi/s"),
        ("vm.disk.read.operations.rate", 12345, "12.3k/s"),
        ("vm.disk.read.latency", 0.0032, "3.2 ms"),
        ("vm.disk.read.latency", 0.00015, "150 µs"),
        ("vm.disk.read.latency", 0.9996, "1 s"),
        ("vm.disk.read.latency", 0, "0 s"),
        ("vm.telemetry.age", 130, "2m10s"),
        ("vm.telemetry.age", 7300, "2h1m"),
        ("network.leases", 12, "12"),
    ],
)
def test_values_are_written_as_people_read_them(signal, value, text):
    assert SIGNAL[signal].format(value) == text


def test_two_values_in_a_sentence_are_told_apart():
    headroom = SIGNAL["vm.memory.headroom.ratio"]

    assert headroom.format(0.05001, beside=0.05) == "5.001 %"
    assert headroom.format(0.05, beside=0.05001) == "5 %"
    assert headroom.format(0.05, beside=0.05) == "5 %"


@given(st.sampled_from(SIGNALS), st.floats())
def test_no_value_is_written_with_an_exponent(signal, value):
    text = signal.format(value).replace("inf", "").replace("nan", "")

    assert "e" not in text


@given(st.sampled_from(SIGNALS), FIGURES)
@example(SIGNAL["vm.memory.headroom.ratio"], 1.0003e-11)  # the least that is written of each
@example(SIGNAL["vm.disk.read.latency"], 9.995e-16)
def test_a_value_that_people_read_is_read_back_in_its_unit(signal, value):
    read = parse_value(signal.format(value))

    assert signal.format(read) == signal.format(value)
    # Of hours no seconds are written.
    assert read == pytest.approx(value, rel=0.01, abs=max(1e-9, 60 * (signal.unit == "s" and abs(value) > 3600)))


@pytest.mark.parametrize(
    ("signal", "value", "bound", "shown"),
    [
        ("vm.memory.headroom.ratio", 0.0512345, 0.05, {"value": "5.12 %", "bound": "5 %"}),
        ("vm.memory.headroom.ratio", 0.0500011, 0.05, {"value": "5.0001 %", "bound": "5 %"}),
        ("vm.memory.rss", 47_500_000.0, 20971520.0, {"value": "45.3Mi", "bound": "20Mi"}),
        ("vm.disk.read.latency", 0.0031789, 0.003, {"value": "3.18 ms", "bound": "3 ms"}),
        ("no.such.signal", 12.0, None, {"value": "12"}),
    ],
)
def test_a_nodemonitor_shows_figures_as_people_read_them(signal, value, bound, shown):
    evidence = rounded(Evidence(signal, value, bound))
    document = for_people(encode_evidence(evidence))

    assert document == {"subject": signal, **shown}
    assert decode_evidence(document) == evidence
