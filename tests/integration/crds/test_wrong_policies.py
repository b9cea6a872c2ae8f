"""The API server itself refuses a wrong policy, and its author reads why."""

import json

import pytest

from lab.controlplane.cluster import ControlPlane
from tests.policy_cases import WRONG_POLICIES, WrongPolicy, changed, good_policy


@pytest.mark.parametrize("case", WRONG_POLICIES, ids=str)
def test_kubectl_apply_says_what_is_wrong(kinds: ControlPlane, case: WrongPolicy):
    # Not the good policy of the same name, which another test may have stored.
    name = case.policy["metadata"]["name"]
    good = name == good_policy(case.policy["kind"])["metadata"]["name"]
    new = changed(case.policy, {"metadata.name": "wrong" if good else name})
    applied = kinds.kubectl("apply", "-f", "-", input=json.dumps(new), check=False)

    assert applied.returncode != 0
    assert case.server in applied.stderr
