import json
from signal import SIGCONT, SIGSTOP

from lab.installed.system import monitor_policy
from tests.integration.system.conftest import RULE
from tests.integration.system.watched import Watched
from tools.checkout import CHECKOUT
from virtwatch_kube.paths import virtwatch

NOT_YET = {"name": "full", "threshold": {"signal": "vm.guest.load.ratio", "warning": {"above": "90%"}}}
DRY_RUN = "--dry-run=server"
OTHER = {"name": "other", "severity": "Warning", "event": {"type": "vm.paused", "resolveOn": ["vm.resumed"]}}


def test_a_policy_that_turns_wrong_says_why_and_its_last_good_meaning_stays_in_force(watched: Watched) -> None:
    system = watched.system
    system.apply(monitor_policy("paused", system.namespace, RULE, NOT_YET, target={"names": ["web-1"]}))
    system.wait(lambda: system.condition("paused", "Accepted") == "False", what="the policy to be refused")
    status = system.policy("paused")["status"]
    (accepted,) = (item for item in status["conditions"] if item["type"] == "Accepted")
    assert accepted["reason"] == "NotImplemented"
    assert "spec.rules[1]" in accepted["message"]
    assert (status["observedGeneration"], status["effectiveGeneration"]) == (2, 1)
    watched.pause()
    watched.wait_told("AlertCritical")
    system.put_in_force("paused", RULE, target={"names": ["web-1"]})
    watched.resume()
    watched.wait_told("AlertCritical", "AlertResolved")


def test_thresholds_that_an_agent_cannot_read_are_said_and_touch_no_other_policy(watched: Watched) -> None:
    system = watched.system
    system.put_in_force("other", OTHER, target={"names": ["web-1"]})
    let_any_rule_pass(watched)
    try:
        (name,) = (item for item in threshold_sets(watched) if "other" in item)
        # In the operator's name, as nobody else may, and while it stands still, or it would write its own words again.
        system.operator.signal(SIGSTOP)
        document = system.control_plane.get(virtwatch("thresholdsets", namespace=system.namespace, name=name))
        document["spec"]["rules"] = [{"name": "other", "telepathy": {}}]
        replace = ("replace", "--as=system:serviceaccount:virtwatch-system:virtwatch-operator", "-f", "-", "-o", "json")
        wrong = json.dumps(document)
        system.wait(
            lambda: "telepathy" in system.control_plane.kubectl(*replace, DRY_RUN, input=wrong, check=False).stdout,
            what="the API server to let any rule pass",
        )
        system.control_plane.kubectl(*replace, input=wrong)
        watched.wait_log("cannot be read")
        watched.pause()
        watched.wait_firing("other", "paused")
        assert len(watched.complaints) == 1, watched.log
        assert "upgrade the agent or the operator" in watched.complaints[0]
    finally:
        system.operator.signal(SIGCONT)
        system.control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(CHECKOUT / "crds"))
    # What the operator writes next can be read: nobody has to be restarted.
    system.put_in_force("other", {**OTHER, "severity": "Critical"}, target={"names": ["web-1"]})
    assert len(watched.complaints) == 1, watched.log


def let_any_rule_pass(watched: Watched) -> None:
    """Loosen the kind, as when a newer operator writes what this agent does not know yet."""
    at = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/rules/items"
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"name": {"type": "string"}}}
    patch = json.dumps([{"op": "replace", "path": at, "value": {**loose, "required": ["name"]}}])
    watched.system.control_plane.kubectl(
        "patch", "crd", "thresholdsets.virtwatch.io", "--type=json", f"--patch={patch}"
    )


def threshold_sets(watched: Watched) -> list[str]:
    system = watched.system
    listed = system.control_plane.kubectl(
        "get", "thresholdsets", f"--namespace={system.namespace}", "-o", "jsonpath={.items[*].metadata.name}"
    )
    return listed.stdout.split()
