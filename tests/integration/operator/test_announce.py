from collections import Counter

from tests.integration.operator.place import Place, eventually, says
from virtwatch_api.alert import Action
from virtwatch_api.policy import Severity
from virtwatch_api.targets import vm_ref


def in_force(place, key):
    return eventually(lambda: place.thresholds(key), what="the ThresholdSet")["spec"]["hash"]


def test_transitions_become_events_are_acknowledged_and_roll_up(place: Place):
    place.operator()
    key = place.policy()
    agent = place.agent()
    agent.applies(key, in_force(place, key))
    agent.publish()
    eventually(lambda: place.condition(key, "Ready")["status"] == "True", what="the policy to be ready")
    assert place.condition(key, "Distributed")["message"] == "Every node applies generation 1."
    assert place.condition(key, "Quiet")["status"] == "True"

    fired = agent.happen(key)
    alert = agent.fires(key)
    agent.applies(key, in_force(place, key))
    agent.publish()
    eventually(agent.hear, what="the acknowledgement")
    place.told(agent)
    about_vm, about_policy = sorted(place.events(), key=lambda item: item["regarding"]["kind"], reverse=True)
    assert about_vm["regarding"]["name"] == "web-1"
    assert about_policy["regarding"]["uid"] == place.client.get(place.path(key))["metadata"]["uid"]
    assert about_vm["related"] == about_policy["regarding"]
    assert about_vm["reason"] == "AlertCritical"
    assert fired.traceparent.split("-")[1] in about_vm["note"]
    quiet = eventually(
        lambda: (found := place.condition(key, "Quiet"))["status"] == "False" and found, what="the policy to be loud"
    )
    assert quiet["message"].startswith("1 alert fires, 1 critical. Worst: Critical cpu-starved for VM")
    (active,) = place.status(key)["activeAlerts"]
    assert (active["rule"], active["node"], active["value"]) == ("cpu-starved", agent.node, "12 %")
    assert active["traceID"] == alert.traceparent.split("-")[1]
    assert place.status(key)["alerts"]["critical"] == 1

    agent.happen(key, Action.RESOLVED, severity=None)
    agent.firing = ()
    agent.applies(key, in_force(place, key))
    agent.publish()
    eventually(agent.hear, what="the acknowledgement")
    place.told(agent)
    assert {item["type"] for item in place.events() if item["reason"] == "AlertResolved"} == {"Normal"}
    eventually(lambda: place.condition(key, "Quiet")["status"] == "True", what="the policy to be quiet again")
    assert place.status(key)["activeAlerts"] == []


def test_people_see_the_alert_where_they_look_for_it(place: Place):
    place.operator()
    key = place.policy()
    agent = place.agent()
    agent.happen(key)
    agent.publish()
    eventually(agent.hear, what="the acknowledgement")
    described = place.cluster.kubectl("describe", "monitorpolicy", key.name, f"--namespace={place.name}").stdout
    assert "AlertCritical" in described
    listed = place.cluster.kubectl("get", "events", f"--namespace={place.name}").stdout
    assert "virtualmachineinstance/web-1" in listed


def test_a_plain_libvirt_vm_is_told_about_on_its_node(place: Place):
    place.operator()
    key = place.cluster_policy()
    agent = place.agent()
    agent.subject = type(agent.subject)("builder", vm_ref("uuid-2"), agent.node)
    agent.happen(key)
    agent.publish()
    eventually(agent.hear, what="the acknowledgement")
    kinds = [item["regarding"]["kind"] for item in place.events("default") if agent.node in item["note"]]
    assert sorted(kinds) == ["ClusterMonitorPolicy", "Node"]
    assert "AlertCritical" in place.cluster.kubectl("describe", "node", agent.node).stdout


def test_a_node_with_a_new_epoch_starts_anew(place: Place):
    place.operator()
    key = place.policy()
    agent = place.agent()
    for _ in range(3):
        agent.happen(key)
    agent.publish()
    eventually(agent.settled, what="the acknowledgement")
    agent.lose_its_state()
    agent.happen(key, severity=Severity.WARNING)
    agent.publish()
    eventually(agent.hear, what="the acknowledgement")
    assert agent.acknowledged == 1
    assert Counter(item["reason"] for item in place.events()) == {"AlertCritical": 6, "AlertWarning": 2}


def test_a_storm_is_told_within_the_budget_counted_and_acknowledged(place: Place):
    place.operator(VIRTWATCH_EVENT_BURST="5")
    key = place.policy()
    agent = place.agent()
    for _ in range(30):
        agent.happen(key)
    agent.publish()
    eventually(agent.settled, what="all to be acknowledged")

    def summaries():
        found = [item for item in place.events() if item["reason"] == "AlertsWithheld"]
        return sorted((item["regarding"]["kind"], item["series"]["count"]) for item in found if "series" in item)

    eventually(lambda: summaries() == [("MonitorPolicy", 25), ("VirtualMachineInstance", 25)], what="both counts")
    assert len([item for item in place.events() if item["reason"] == "AlertCritical"]) == 10
    described = place.cluster.kubectl("describe", "monitorpolicy", key.name, f"--namespace={place.name}").stdout
    assert "x25 over" in described


def test_a_namespace_that_is_gone_holds_up_nobody(place: Place):
    place.operator()
    key = place.policy()
    lost, healthy = place.agent("n1", namespace="no-such-namespace"), place.agent("n2")
    lost.happen(place.cluster_policy())
    healthy.happen(key)
    for agent in (lost, healthy):
        agent.publish()
    for agent in (lost, healthy):
        eventually(agent.hear, what="the acknowledgement")


def test_a_node_whose_events_cannot_be_written_now_holds_up_no_other_and_loses_nothing(place: Place):
    kubectl = place.cluster.kubectl
    place.operator()
    key = place.policy()
    blocked, healthy = place.agent("n1", namespace=place.other), place.agent("n2")
    kubectl("create", "-f", "-", input=_BROKEN_WEBHOOK.format(name=place.name, namespace=place.other))
    try:
        eventually(lambda: _fails(place), what="the webhook to be in force")
        blocked.happen(place.cluster_policy())
        blocked.publish()
        for _ in range(5):
            healthy.happen(key)
            healthy.publish()
            eventually(healthy.hear, what="the acknowledgement")
        assert not blocked.hear()
    finally:
        kubectl("delete", "validatingwebhookconfiguration", place.name)
    eventually(blocked.hear, what="the acknowledgement once Events can be written")
    told = [item["regarding"]["kind"] for namespace in (place.name, place.other) for item in place.events(namespace)]
    assert Counter(told) == {"VirtualMachineInstance": 6, "MonitorPolicy": 5}


def test_a_namespace_that_refuses_events_holds_up_nothing_and_is_named(place: Place):
    kubectl = place.cluster.kubectl
    operator = place.operator()
    key = place.cluster_policy()
    agent = place.agent(namespace=place.other)
    kubectl("create", "-f", "-", input=_DENIAL.format(name=place.name, namespace=place.other))
    try:
        eventually(lambda: _fails(place), what="the denial to be in force")
        agent.happen(key)
        agent.publish()
        eventually(agent.hear, what="the acknowledgement")
    finally:
        kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", place.name)
    told = [item["regarding"] for item in place.events("default") if item["regarding"]["name"] == key.name]
    assert [item["kind"] for item in told] == ["ClusterMonitorPolicy"]
    assert place.events(place.other) == []
    assert says(operator, "no Events here")


def _fails(place):
    event = _PROBE.format(namespace=place.other)
    return place.cluster.kubectl("create", "--dry-run=server", "-f", "-", input=event, check=False).returncode != 0


_PROBE = """
apiVersion: events.k8s.io/v1
kind: Event
metadata: {{name: probe, namespace: {namespace}}}
eventTime: "2026-11-01T00:00:00.000000Z"
type: Normal
reason: Probe
action: Probe
reportingController: test/probe
reportingInstance: test
regarding: {{kind: VirtualMachineInstance, namespace: {namespace}, name: web-1}}
"""
_BROKEN_WEBHOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: {name}}}
webhooks:
- name: broken.example.com
  clientConfig: {{url: "https://127.0.0.1:1/"}}
  failurePolicy: Fail
  timeoutSeconds: 1
  sideEffects: None
  admissionReviewVersions: [v1]
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
  rules:
  - {{apiGroups: [events.k8s.io], apiVersions: [v1], operations: [CREATE], resources: [events]}}
"""
_DENIAL = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
    resourceRules:
    - {{apiGroups: [events.k8s.io], apiVersions: [v1], operations: [CREATE], resources: [events]}}
  validations:
  - {{expression: "false", message: "no Events here", reason: Forbidden}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec: {{policyName: {name}, validationActions: [Deny]}}
"""
