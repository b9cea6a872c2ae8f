"""kubectl apply warns of exactly what this version cannot judge."""

import json
import time
from dataclasses import replace

import pytest

from lab.controlplane.cluster import ControlPlane
from tests.policy_cases import changed, good_policy
from tools.checkout import CHECKOUT
from virtwatch_api import admission, support
from virtwatch_api.admission import warning_policy
from virtwatch_api.policy import Mode, Policy
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.support import MODES, unsupported

DEADLINE_S = 120.0
GOOD = good_policy("MonitorPolicy")
PLAIN = changed(GOOD, {"metadata.name": "warned", "spec.collection": {}})
RULES = GOOD["spec"]["rules"]
NOT_COLLECTED = "vm.guest.load.ratio"
THRESHOLD = {"name": "load", "threshold": {"signal": NOT_COLLECTED, "warning": {"above": "50%"}}}
EVENT = {"name": "agent", "severity": "Warning", "event": {"type": "vm.crashed", "resolveOn": ["vm.agent_connected"]}}


def _warnings(kinds: ControlPlane, policy: dict) -> list[str]:
    applied = kinds.kubectl("apply", "--dry-run=server", "-f", "-", input=json.dumps(policy))
    return [line for line in applied.stderr.splitlines() if "'virtwatch-unsupported'" in line]


@pytest.fixture(scope="module")
def older():
    """Judge, and warn, as a version that does not collect one of the signals yet."""
    with pytest.MonkeyPatch.context() as patch:
        later = replace(support.SIGNAL[NOT_COLLECTED], formula=None)
        patch.setitem(support.SIGNAL, NOT_COLLECTED, later)
        patch.setattr(admission, "SIGNALS", (later, *admission.SIGNALS))
        yield


@pytest.fixture(scope="module")
def warning(kinds: ControlPlane, older: None):
    binding = CHECKOUT / "manifests" / "base" / "unsupported-validatingadmissionpolicybinding.yaml"
    applied = [json.dumps(warning_policy()), binding.read_text()]
    for text in applied:
        kinds.kubectl("apply", "-f", "-", input=text)
    deadline = time.monotonic() + DEADLINE_S
    while not _warnings(kinds, changed(PLAIN, {"spec.rules": [THRESHOLD]})):
        # The API server reads admission policies again every few moments.
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:.0f} s for the admission policy"
        time.sleep(0.2)
    yield kinds
    for text in reversed(applied):
        kinds.kubectl("delete", "-f", "-", input=text)


@pytest.mark.parametrize("rule", [*RULES, THRESHOLD, EVENT], ids=lambda rule: rule["name"])
def test_a_rule_that_cannot_be_judged_is_warned_of(warning: ControlPlane, rule: dict):
    policy = changed(PLAIN, {"spec.rules": [rule]})
    parsed = parse_policy(policy)
    assert isinstance(parsed, Policy)
    spec = parsed.spec
    refused = list(unsupported(target=spec.target, collection=spec.collection, rules=spec.rules))

    found = _warnings(warning, policy)

    assert bool(found) is bool(refused)
    assert all(f'rule "{rule["name"]}"' in line for line in found)


@pytest.mark.parametrize("mode", Mode)
def test_a_mode_that_is_not_there_is_warned_of(warning: ControlPlane, mode: Mode):
    found = _warnings(warning, changed(PLAIN, {"spec.rules": RULES[:1], "spec.collection": {"mode": mode.value}}))

    assert bool(found) is (mode not in MODES)
    assert all("spec.collection.mode: this version has the modes " in line for line in found)
