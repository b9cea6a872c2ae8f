"""What is written of a number or a duration is read back the same, and is within the bounds of the schemas."""

import re

from hypothesis import given
from hypothesis import strategies as st

from virtwatch_api.duration import MAX_LENGTH, format_duration, parse_duration
from virtwatch_api.duration import PATTERN as DURATION
from virtwatch_api.quantity import PATTERN as QUANTITY
from virtwatch_api.quantity import format_number, parse_number, parse_quantity


@given(st.from_regex(QUANTITY, fullmatch=True, alphabet=st.characters(max_codepoint=127)))
def test_a_quantity_is_written_as_a_plain_number(text):
    written = format_number(parse_quantity(text))

    assert not set(written) - set("-.0123456789")
    assert parse_number(written) == parse_quantity(text)


@given(st.integers(min_value=0, max_value=604_800_000))
def test_a_duration_up_to_a_week_is_written_exactly(milliseconds):
    written = format_duration(milliseconds / 1000)

    assert re.fullmatch(DURATION, written)
    assert len(written) <= MAX_LENGTH
    assert parse_duration(written) == milliseconds / 1000
