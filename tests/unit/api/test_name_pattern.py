"""A pattern stands for a list of dotted names: it matches those, and nothing else."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from virtwatch_api.rule_kinds.name_pattern import pattern_of

PART = st.text("ab_", min_size=1, max_size=2)
NAMES = st.lists(st.lists(PART, min_size=1, max_size=3).map(".".join), min_size=1, max_size=8, unique=True)


@given(NAMES, NAMES)
@example(["network.leases", "network.leases.ratio"], ["network.leases."])
@example(["a"], ["a\n"])
def test_a_pattern_matches_its_names_and_no_others(names, others):
    pattern = re.compile(pattern_of(names).replace("$", r"\Z"))  # RE2's $, which the API server has

    assert {name for name in {*names, *others} if pattern.search(name)} == set(names)


def test_names_with_equal_ends_share_them():
    assert (
        pattern_of(["vm.disk.read.rate", "vm.disk.write.rate", "vm.cpu"]) == "^vm[.](cpu|disk[.](read|write)[.]rate)$"
    )
