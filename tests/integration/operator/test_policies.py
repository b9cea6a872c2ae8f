from tests.integration.operator.place import NOT_YET, RULE, Place, eventually, says
from virtwatch_api.thresholdset import ThresholdSet, parse_thresholdset
from virtwatch_kube.errors import NotFound
from virtwatch_kube.paths import resource, virtwatch


def accepted(place, key, status, *, generation):
    def look():
        found = place.condition(key, "Accepted")
        return found if (found["status"], found.get("observedGeneration")) == (status, generation) else None

    return eventually(look, what=f"Accepted={status} of generation {generation}")


def test_a_policy_goes_in_force_stays_in_force_while_a_newer_one_is_wrong_and_leaves_no_trace(place: Place):
    place.operator()
    key = place.policy()
    accepted(place, key, "True", generation=1)
    first = parse_thresholdset(place.thresholds(key))
    assert isinstance(first, ThresholdSet)
    assert first.policy == key

    place.policy(RULE, NOT_YET)
    refused = accepted(place, key, "False", generation=2)
    assert refused["reason"] == "NotImplemented"
    assert 'spec.rules[1].threshold.signal: rule "full"' in refused["message"]
    assert "Generation 1 stays in force" in refused["message"]
    assert place.status(key)["effectiveGeneration"] == 1
    assert place.status(key)["observedGeneration"] == 2
    assert parse_thresholdset(place.thresholds(key)) == first

    place.policy({**RULE, "name": "renamed"})
    accepted(place, key, "True", generation=3)
    assert place.status(key)["effectiveGeneration"] == 3
    assert parse_thresholdset(place.thresholds(key)).rules[0].name == "renamed"

    place.client.delete(place.path(key))
    eventually(lambda: place.thresholds(key) is None, what="the ThresholdSet to be collected")


def test_an_edit_without_a_new_meaning_writes_no_thresholds(place: Place):
    place.operator()
    key = place.policy()
    accepted(place, key, "True", generation=1)
    before = place.thresholds(key)["metadata"]["resourceVersion"]
    place.policy(enforcement="Enforce", collection={"mode": "Hybrid", "interval": "15000ms"})
    accepted(place, key, "True", generation=2)
    assert place.status(key)["effectiveGeneration"] == 2
    assert place.thresholds(key)["metadata"]["resourceVersion"] == before
    place.policy(NOT_YET)
    accepted(place, key, "False", generation=3)
    assert place.status(key)["effectiveGeneration"] == 2


def test_a_wrong_policy_touches_no_other(place: Place):
    place.operator()
    wrong, right = place.policy(NOT_YET, name="wrong"), place.policy(name="right")
    accepted(place, wrong, "False", generation=1)
    accepted(place, right, "True", generation=1)
    assert place.thresholds(wrong) is None
    assert "effectiveGeneration" not in place.status(wrong)


def test_thresholds_that_somebody_deleted_come_back(place: Place):
    place.operator()
    key = place.policy()
    accepted(place, key, "True", generation=1)
    uid = place.thresholds(key)["metadata"]["uid"]
    place.client.delete(virtwatch("thresholdsets", namespace=key.namespace, name=key.name))
    eventually(lambda: (found := place.thresholds(key)) and found["metadata"]["uid"] != uid, what="a new ThresholdSet")


def test_a_policy_made_anew_under_its_name_gets_thresholds_of_its_own(place: Place):
    place.operator()
    key = place.policy()
    accepted(place, key, "True", generation=1)
    place.client.delete(place.path(key))
    place.policy()
    uid = place.client.get(place.path(key))["metadata"]["uid"]

    def settled():
        found = place.thresholds(key)
        return found and [owner["uid"] for owner in found["metadata"]["ownerReferences"]] == [uid]

    eventually(settled, what="a ThresholdSet that the new policy owns")
    assert place.thresholds(key)["spec"]["policy"]["uid"] == uid


def test_a_policy_made_anew_with_the_same_words_waits_for_agents_to_judge_by_it(place: Place):
    place.operator()
    key = place.policy()
    agent = place.agent()
    agent.applies(key, eventually(lambda: place.thresholds(key), what="the ThresholdSet")["spec"]["hash"])
    agent.publish()
    eventually(lambda: place.condition(key, "Ready")["status"] == "True", what="the policy to be ready")

    place.client.delete(place.path(key))
    place.policy()
    said = eventually(lambda: place.condition(key, "Distributed")["status"], what="a word about the new policy")
    assert said == "False"

    agent.applies(key, place.thresholds(key)["spec"]["hash"])
    agent.publish()
    eventually(lambda: place.condition(key, "Ready")["status"] == "True", what="the new policy to be ready")


def test_a_cluster_policy_follows_the_labels_of_namespaces(place: Place):
    place.operator()
    key = place.cluster_policy(target={"namespaceSelector": {"matchLabels": {"test": place.name}}})
    accepted(place, key, "True", generation=1)
    assert place.thresholds(key)["spec"]["namespaces"] == []
    labels = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.name, "labels": {"test": place.name}}}
    place.client.apply(resource("v1", "namespaces", name=place.name), labels, manager="user")
    before = place.thresholds(key)["metadata"]["resourceVersion"]
    other = place.policy()
    accepted(place, other, "True", generation=1)
    assert place.thresholds(key)["metadata"]["resourceVersion"] == before  # there is no VM in it
    place.vmi("web-1", "n1")
    eventually(lambda: place.thresholds(key)["spec"]["namespaces"] == [place.name], what="the namespace to be chosen")
    place.client.delete(place.path(key))
    eventually(lambda: place.thresholds(key) is None, what="the ThresholdSet to be collected")


def test_two_policies_never_share_a_thresholdset(place: Place):
    place.operator()
    taken = place.cluster_policy()
    accepted(place, taken, "True", generation=1)
    body = {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "MonitorPolicy",
        "metadata": {"name": f"cluster.{taken.name}", "namespace": place.system},
        "spec": {"rules": [RULE]},
    }
    path = virtwatch("monitorpolicies", namespace=place.system, name=body["metadata"]["name"])
    place.client.apply(path, body, manager="user")

    def reason():
        conditions = (place.client.get(path).get("status") or {}).get("conditions", [])
        return [item["reason"] for item in conditions if item["type"] == "Accepted"] == ["NameReserved"]

    eventually(reason, what="Accepted=False, NameReserved")
    assert place.thresholds(taken)["spec"]["policy"]["kind"] == "ClusterMonitorPolicy"


def test_thresholds_changed_by_hand_are_restored_whole_at_once(place: Place):
    operator = place.operator()
    key = place.policy()
    accepted(place, key, "True", generation=1)
    before = place.thresholds(key)
    _tamper(place, key)
    eventually(lambda: place.thresholds(key)["spec"]["rules"] == before["spec"]["rules"], what="the rules to be back")
    assert "namespaces" not in place.thresholds(key)["spec"] or before["spec"].get("namespaces")
    assert says(operator, "was not as the operator wrote it (last written by somebody)")


def test_a_new_operator_restores_what_was_changed_while_none_ran(place: Place):
    first = place.operator()
    key = place.policy()
    accepted(place, key, "True", generation=1)
    before = place.thresholds(key)
    first.kill()
    _tamper(place, key)
    assert place.thresholds(key)["spec"]["hash"] == before["spec"]["hash"]
    place.operator()
    eventually(lambda: place.thresholds(key)["spec"]["rules"] == before["spec"]["rules"], what="the rules to be back")


def _tamper(place, key):
    """Change rules, and leave the hash as it is."""
    stands = place.thresholds(key)
    stands["spec"]["rules"][0]["threshold"] = {**stands["spec"]["rules"][0]["threshold"]}
    stands["spec"]["rules"][0]["threshold"]["warning"] = {"above": "0.9"}
    stands["spec"]["rules"][0]["threshold"]["critical"] = {"above": "1"}
    path = virtwatch("thresholdsets", namespace=stands["metadata"]["namespace"], name=stands["metadata"]["name"])
    place.client.replace(path, stands, manager="somebody")


def test_a_status_wiped_or_written_by_hand_is_repaired(place: Place):
    place.operator()
    key = place.policy()
    accepted(place, key, "True", generation=1)
    good = eventually(
        lambda: (found := place.status(key)).get("conditions") and found, what="a status with all its conditions"
    )
    lies = [
        {},
        {**good, "effectiveGeneration": 99, "alerts": {**good["alerts"], "critical": 7}},
        {**good, "conditions": [*good["conditions"], {**good["conditions"][0], "type": "Forged"}]},
    ]
    for lie in lies:
        document = place.client.get(place.path(key))
        place.client.replace(f"{place.path(key)}/status", {**document, "status": lie}, manager="somebody")
        eventually(lambda: _same(place.status(key), good), what=f"{list(lie)} to be repaired")


def test_a_new_operator_repairs_a_status_written_while_none_ran(place: Place):
    first = place.operator()
    key = place.policy()
    accepted(place, key, "True", generation=1)
    first.kill()
    good = place.status(key)
    document = place.client.get(place.path(key))
    lie = {**good, "alerts": {**good["alerts"], "critical": 7}}
    place.client.replace(f"{place.path(key)}/status", {**document, "status": lie}, manager="somebody")
    place.operator()
    eventually(lambda: _same(place.status(key), good), what="the status to be repaired")


def _same(status, good):
    """Compare but for the times of conditions, which a wiped status cannot remember."""
    plain = [
        {**item, "conditions": [{**one, "lastTransitionTime": ""} for one in item.get("conditions", ())]}
        for item in (status, good)
    ]
    return plain[0] == plain[1]


def test_a_channel_without_its_secret_says_so(place: Place):
    place.operator()
    path = virtwatch("notificationchannels", namespace=place.name, name="oncall")
    body = {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "NotificationChannel",
        "metadata": {"name": "oncall", "namespace": place.name},
        "spec": {"type": "Email", "urlSecretRef": {"name": "secret"}},
    }
    place.client.apply(path, body, manager="user")

    def condition():
        return (place.client.get(path).get("status") or {}).get("conditions")

    accepted, ready = eventually(condition, what="the channel's status")
    assert (accepted["type"], accepted["status"], accepted["reason"]) == ("Accepted", "False", "SecretInvalid")
    assert accepted["message"] == f"Secret {place.name}/secret does not exist; create it."
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "False", "SecretInvalid")


def test_nothing_is_written_on_what_users_own(place: Place):
    place.operator()
    key = place.policy()
    accepted(place, key, "True", generation=1)
    metadata = place.client.get(place.path(key))["metadata"]
    assert "annotations" not in metadata
    assert "finalizers" not in metadata
    assert {note["manager"] for note in metadata["managedFields"]} == {"user", "virtwatch-status"}


def test_a_nodemonitor_is_there_for_each_agent_and_comes_back(place: Place):
    place.operator()
    agent = place.agent("n1")
    path = virtwatch("nodemonitors", name=agent.node)
    found = place.client.get(path)
    assert "zone" not in found["metadata"].get("labels", {})
    place.cluster_policy(target={"nodeSelector": {"matchLabels": {"zone": "a"}}})
    eventually(lambda: place.client.get(path)["metadata"].get("labels") == {"zone": "a"}, what="the label to be there")
    assert [owner["kind"] for owner in found["metadata"]["ownerReferences"]] == ["Node"]
    place.client.delete(path)

    def made_anew():
        try:
            return place.client.get(path)["metadata"]["uid"] != found["metadata"]["uid"]
        except NotFound:
            return False

    eventually(made_anew, what="a new NodeMonitor")
