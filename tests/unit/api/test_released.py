"""What released versions wrote is read, and means the same: an upgrade rewrites no ThresholdSet."""

import json
from pathlib import Path

import pytest

from virtwatch_api.compile import compile_policy
from virtwatch_api.policy import Policy
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.support import unsupported_in
from virtwatch_api.thresholdset import ThresholdSet, encode_spec, parse_thresholdset

RELEASED = [
    item
    for path in sorted((Path(__file__).parents[2] / "data" / "released").glob("thresholdsets-*.json"))
    for item in json.loads(path.read_text())
]
NAMESPACES = {"shop": {"team": "shop"}}


@pytest.mark.parametrize("item", RELEASED, ids=lambda item: item["policy"]["metadata"]["name"])
def test_a_thresholdset_of_a_released_version_is_read(item):
    read = parse_thresholdset(item["thresholdSet"])

    assert isinstance(read, ThresholdSet)
    assert list(unsupported_in(read)) == []
    created = item["policy"]["metadata"]["creationTimestamp"]
    assert encode_spec(read, created=created) == item["thresholdSet"]["spec"]


@pytest.mark.parametrize("item", RELEASED, ids=lambda item: item["policy"]["metadata"]["name"])
def test_a_policy_of_a_released_version_still_has_its_hash(item):
    policy = parse_policy(item["policy"])
    assert isinstance(policy, Policy)
    compiled = compile_policy(policy, namespace_labels=NAMESPACES)

    assert isinstance(compiled, ThresholdSet)
    assert compiled.hash == item["thresholdSet"]["spec"]["hash"]
