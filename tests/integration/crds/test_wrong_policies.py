"""The API server itself refuses a wrong policy, and its author reads why."""

import json

import pytest

from lab.controlplane.cluster import ControlPlane
from tests.policy_cases import WRONG_POLICIES, WrongPolicy, changed


@pytest.mark.parametrize("case", WRONG_POLICIES, ids=str)
def test_kubectl_apply_says_what_is_wrong(kinds: ControlPlane, case: WrongPolicy):
    new = changed(case.policy, {"metadata.name": "wrong"})
    applied = kinds.kubectl("apply", "-f", "-", input=json.dumps(new), check=False)

    assert applied.returncode != 0
    assert case.server in applied.stderr
