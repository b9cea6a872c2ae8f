"""Bounds are read as people write them, and refused with what they may have meant."""

import re

import pytest

from virtwatch_api.bounds import parse_bound, range_problem, scale, scale_named
from virtwatch_api.policy import Function

SHARE, BYTES, SECONDS = scale("vm.cpu.utilization"), scale("vm.memory.rss"), scale("vm.disk.read.latency")


@pytest.mark.parametrize(
    ("of", "text", "value"),
    [
        (SHARE, "0.9", 0.9),
        (SHARE, "90%", 0.9),
        (SHARE, "12.5%", 0.125),
        (SHARE, "0.7%", 0.007),
        (SHARE, "900m", 0.9),
        (BYTES, "16393244Ki", 16393244 * 1024),
        (BYTES, "131072Mi", 2**37),
        (BYTES, "129e6", 129e6),
        (BYTES, "1E3", 1000),
        (BYTES, "128974848000m", 128974848),
        (BYTES, "2Ei", 2**61),
        (SECONDS, "20ms", 0.02),
        (SECONDS, "1.5s", 1.5),
        (SECONDS, "250us", 0.00025),
        (SECONDS, "0.02", 0.02),
        (SECONDS, "3", 3),
        (scale("node.cpu.allocation.ratio"), "150%", 1.5),
        (scale("vm.cpu.utilization", Function.COUNT), "20", 20),
    ],
)
def test_a_bound_is_read_in_its_signals_unit(of, text, value):
    assert parse_bound(text, of) == value


@pytest.mark.parametrize(
    ("of", "text", "words"),
    [
        (SECONDS, "20m", 'write "20ms" for milliseconds, "1200s" for minutes'),
        (SECONDS, "0.5m", '"30s" for minutes'),
        (SECONDS, "90%", "% belongs to a signal without unit"),
        (SECONDS, "2m30s", 'must be a number in seconds such as "20ms" or "1.5s"'),
        (SECONDS, "1h", "must be a number in seconds such as"),
        (BYTES, "20ms", "vm.memory.rss is not in seconds"),
        (BYTES, "20MB", 'such as "20Mi" or "1Gi"'),
        (SHARE, "5s", "vm.cpu.utilization is not in seconds"),
        (SHARE, "\u0665", "must be a number"),
        (SHARE, "0x10", "must be a number"),
        (scale("vm.cpu.utilization", Function.COUNT), "90%", "% belongs to"),
    ],
)
def test_what_is_no_bound_of_the_signal_is_refused(of, text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_bound(text, of)


@pytest.mark.parametrize(
    ("of", "value", "problem"),
    [
        (SHARE, 90.0, '"90" is out of range: vm.cpu.utilization is a share from 0 to 1; did you mean "90%"?'),
        (SHARE, 900.0, '"900" is out of range: vm.cpu.utilization is a share from 0 to 1'),
        (SHARE, 1.0, None),
        (BYTES, -1.0, '"-1" is out of range: vm.memory.rss is never below 0'),
        (scale("vm.memory.rss", Function.RATE), -1.0, None),
        (scale("vm.cpu.utilization", Function.SUM), 90.0, None),
        (scale("node.memory.allocation.ratio"), 2.0, None),
    ],
)
def test_a_bound_that_a_signal_cannot_reach_is_named(of, value, problem):
    assert range_problem(value, of, f"{value:g}") == problem


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        ("", 0.5, "50 %"),
        ("Avg", 0.5, "50 %"),
        ("Count", 5, "5"),
        ("Sum", 5, "5"),
        ("Rate", 0.5, "0.5/s"),
        ("New", 0.5, "50 %"),
    ],
)
def test_a_value_is_written_in_the_unit_of_its_aggregate(function, value, text):
    assert scale_named("vm.cpu.utilization", function).format(value) == text
