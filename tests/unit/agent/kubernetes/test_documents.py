from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report_cases import full_status
from virtwatch_agent.kubernetes.documents import NodeReader, ThresholdReader, claims_of, read_identities
from virtwatch_agent.observations import KubernetesIdentity, NodeChanged, Volume
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.compile import compile_policy
from virtwatch_api.nodemonitor import Acknowledged, Handover
from virtwatch_api.nodemonitor_codec import encode_handover
from virtwatch_api.policy import Policy, PolicyKey, PolicyKind
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.thresholdset import ThresholdSet, encode_spec

MOVED = next(item for item in full_status().transitions if item.move)
HANDOVER = Handover("e2", MOVED, MOVED.move)


def document(name="web", *, version="1", **spec: Any):
    policy = parse_policy(
        {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": "MonitorPolicy",
            "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "generation": 1},
            "spec": {
                "rules": [{"name": "busy", "threshold": {"signal": "vm.memory.rss", "warning": {"above": 100}}}],
            },
        }
    )
    assert isinstance(policy, Policy), policy
    compiled = compile_policy(policy)
    assert isinstance(compiled, ThresholdSet), compiled
    return {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "ThresholdSet",
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": version},
        "spec": {**encode_spec(compiled, created="2026-11-23T20:00:00Z"), **spec},
    }


def reader():
    return ThresholdReader(operator_namespace="virtwatch-system")


def moved(made, *, namespace="shop", name="web", **policy):
    """Let a ThresholdSet stand elsewhere, or claim to be another policy's."""
    spec = {**made["spec"], "policy": {**made["spec"]["policy"], **policy}}
    return {**made, "metadata": {**made["metadata"], "namespace": namespace, "name": name}, "spec": spec}


@pytest.mark.parametrize(
    "forged",
    [
        moved(document(), name="mine", kind="ClusterMonitorPolicy", namespace=None),
        moved(document(), name="cluster.base", kind="ClusterMonitorPolicy"),
        moved(document(), namespace="tenant"),
        moved(document(), name="another"),
        moved(document(), namespace="virtwatch-system", name="cluster.web"),
    ],
    ids=[
        "a cluster's",
        "a cluster's by its name",
        "another namespace's",
        "another name's",
        "a namespace's as a cluster's",
    ],
)
def test_one_that_stands_where_its_policys_does_not_is_nobodys(forged):
    changed = reader().read([document("db"), forged])
    assert [item.policy.name for item in changed.thresholds] == ["db"]
    assert changed.rejected == ()
    (message,) = changed.foreign
    assert "whose stands elsewhere; delete it" in message


def test_it_is_known_up_to_where_thresholds_were_read():
    assert reader().read([document(version="9"), document("db", version="10")]).read_up_to == 10


def test_every_readable_threshold_set_is_in_force():
    changed = reader().read([document("web"), document("db")])
    assert [item.policy.name for item in changed.thresholds] == ["db", "web"]
    assert changed.rejected == ()


def test_an_unreadable_one_hinders_no_other_and_is_named_with_its_reason():
    changed = reader().read([document("web"), document("db", rules="none")])
    assert [item.policy.name for item in changed.thresholds] == ["web"]
    (rejected,) = changed.rejected
    assert rejected.policy == PolicyKey(PolicyKind.MONITOR_POLICY, "db", "shop")
    assert rejected.hash
    assert rejected.message.startswith("ThresholdSet shop/db: spec.rules")


@pytest.mark.parametrize(
    "later",
    [
        {"apiVersion": "virtwatch.com/v1"},
        {"spec": {**document()["spec"], "rules": [{"name": "r", "telepathy": {}}]}},
        {"spec": {**document()["spec"], **{f"field-{number}": 1 for number in range(500)}}},
    ],
    ids=["another group", "an unknown kind of rule", "more unknown fields than a message holds"],
)
def test_one_that_another_version_wrote_says_what_to_do(later):
    (rejected,) = reader().read([{**document(), **later}]).rejected
    assert rejected.message.endswith("; upgrade the agent or the operator so that both agree")
    assert len(rejected.message) <= 1024  # as much as NodeMonitor holds


def test_one_that_this_agent_cannot_judge_whole_is_rejected_by_name(monkeypatch):
    monkeypatch.setitem(SIGNAL, "vm.memory.balloon", replace(SIGNAL["vm.memory.balloon"], formula=None))
    judged = document()["spec"]["rules"]
    later = {**judged[0]["threshold"], "signal": "vm.memory.balloon"}
    planned = {**judged[0], "name": "later", "threshold": later}
    changed = reader().read([document("web"), document("new", rules=[*judged, planned])])

    assert [item.policy.name for item in changed.thresholds] == ["web"]
    assert 'rule "later"' in changed.rejected[0].message


@pytest.mark.parametrize("version", ["v1alpha1", "v1beta1", "v1"])
def test_one_of_a_later_version_of_the_api_is_read(version):
    changed = reader().read([{**document(), "apiVersion": f"virtwatch.io/{version}"}])

    assert len(changed.thresholds) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
FIELDS = ["policy", "hash", "enforcement", "overridable", "target", "namespaces", "collection", "rules", "traceparent"]


@given(field=st.sampled_from(FIELDS), value=JSON)
def test_no_document_whatever_it_holds_breaks_the_reading(field, value):
    changed = reader().read([document("web"), document("bad", **{field: value})])
    assert "web" in [item.policy.name for item in changed.thresholds]
    assert len(changed.thresholds) + len(changed.rejected) + len(changed.foreign) == 2


@pytest.mark.parametrize("spec", [None, [], "text", 5])
def test_a_document_without_a_spec_is_rejected_under_its_own_name(spec):
    (rejected,) = reader().read([{**document("odd"), "spec": spec}]).rejected
    assert rejected.policy.name == "odd"


def test_the_same_version_of_a_document_is_read_once():
    known = reader()
    first, again = known.read([document()]), known.read([document()])
    assert again == first
    assert again.thresholds[0] is first.thresholds[0]
    assert known.read([document(version="2", hash="other")]).thresholds[0].hash == "other"


def vmi(**status):
    return {
        "metadata": {
            "namespace": "shop",
            "name": "web-1",
            "uid": "vmi-1",
            "labels": {"tier": "web"},
            "annotations": {"virtwatch.io/rule.busy": "off"},
        },
        "status": status,
    }


def test_a_vmi_is_known_by_its_launcher_pods_on_this_node():
    changed = read_identities([vmi(activePods={"pod-b": "n1", "pod-a": "n1", "pod-c": "n2"})], node="n1")
    assert changed.identities == (
        KubernetesIdentity(
            "shop", "web-1", "vmi-1", ("pod-a", "pod-b"), {"tier": "web"}, {"virtwatch.io/rule.busy": "off"}
        ),
    )


def test_a_vmi_without_a_pod_yet_has_none():
    (identity,) = read_identities([{**vmi(), "status": None}], node="n1").identities
    assert identity.pod_uids == ()


def test_what_the_operator_wrote_is_read_from_the_nodemonitor():
    changed = read_node(
        {
            "metadata": {"name": "n1", "labels": {"zone": "a"}},
            "spec": {"acknowledged": {"epoch": "e1", "sequence": 7}},
        }
    )
    assert changed == NodeChanged({"zone": "a"}, Acknowledged("e1", 7))


@pytest.mark.parametrize("spec", [None, {}, {"acknowledged": None}, {"acknowledged": {"epoch": "e1"}}])
def test_without_an_acknowledgement_nothing_is_acknowledged(spec):
    assert read_node({"metadata": {"name": "n1"}, "spec": spec}) == NodeChanged({}, None)


@pytest.mark.parametrize(
    ("migration", "target"),
    [
        ({"targetNode": "n2"}, "n2"),
        ({"targetNode": "n2", "completed": True}, "n2"),  # its end here may be heard of later
        ({"targetNode": "n2", "failed": True}, ""),
        ({"targetNode": "n1", "completed": True}, ""),  # it came here
        ({}, ""),
        (None, ""),
    ],
)
def test_a_vmi_says_to_which_other_node_it_migrates(migration, target):
    (identity,) = read_identities([vmi(migrationState=migration)], node="n1").identities
    assert identity.migration_target == target


def test_alerts_that_came_with_their_vms_are_read_and_an_unreadable_one_hinders_no_other(caplog):
    good = encode_handover(HANDOVER)
    changed = read_node({"metadata": {"name": "n1"}, "spec": {"handovers": [{**good, "action": "Snoozed"}, good]}})
    assert changed.handovers == (HANDOVER,)
    assert "of rule cpu-starved of VM shop/web-1" in caplog.text
    assert "upgrade the agent or the operator" in caplog.text


@pytest.mark.parametrize("strange", ["text", {}, {"subject": "web-1"}, {"subject": {"domain": "d"}}])
def test_an_alert_that_has_no_name_is_said_all_the_same(caplog, strange):
    assert read_node({"metadata": {"name": "n1"}, "spec": {"handovers": [strange]}}).handovers == ()
    assert "cannot be read" in caplog.text


def test_an_unreadable_one_is_said_once_for_as_long_as_it_is_held(caplog):
    reader, strange = NodeReader(), {**encode_handover(HANDOVER), "action": "Snoozed"}
    for handovers in ([strange], [strange, {**strange, "sequence": 99}], [], [strange]):
        reader.read({"metadata": {"name": "n1"}, "spec": {"handovers": handovers}})
    assert len(caplog.records) == 3


def read_node(document):
    return NodeReader().read(document)


MOVING = {"sourceNode": "n1", "targetNode": "n2", "migrationUid": "m-1", "startTimestamp": "2026-11-30T08:00:00Z"}
OVER = {**MOVING, "endTimestamp": "2026-11-30T08:01:00Z"}


@pytest.mark.parametrize(
    ("migration", "said"),
    [
        ({}, ("", "")),
        (MOVING, ("m-1", "")),
        ({**MOVING, "sourceNode": "n3"}, ("", "")),
        ({**OVER, "completed": True}, ("", "")),
        ({**OVER, "completed": True, "failed": True, "failureReason": "node is full"}, ("", "node is full")),
        ({**OVER, "failed": True, "abortStatus": "Succeeded"}, ("", "aborted")),
        ({**OVER, "failed": True, "sourceNode": "n3"}, ("", "")),
    ],
)
def test_a_vmi_tells_the_node_that_it_leaves_of_its_migration(migration, said):
    (identity,) = read_identities([vmi(migrationState=migration)], node="n1").identities
    assert (identity.migrating, identity.migration_failed) == said


VOLUMES = [
    {"name": "root", "dataVolume": {"name": "web-1-root"}},
    {"name": "data", "persistentVolumeClaim": {"claimName": "web-1-data"}},
    {"name": "scratch", "ephemeral": {"persistentVolumeClaim": {"claimName": "image"}}},
    {"name": "init", "cloudInitNoCloud": {"userData": "secret"}},
    {"name": "strange", "persistentVolumeClaim": "text"},
]


def test_a_vmis_volumes_name_their_claims_and_classes():
    machine = {**vmi(), "spec": {"volumes": VOLUMES}}
    changed = read_identities([machine], node="n1", classes={("shop", "web-1-data"): "fast"})

    assert changed.identities[0].volumes == {
        "root": Volume("web-1-root"),
        "data": Volume("web-1-data", "fast"),
        "scratch": Volume("image"),
    }
    assert claims_of(changed) == {("shop", "web-1-root"), ("shop", "web-1-data"), ("shop", "image")}


@pytest.mark.parametrize(
    ("change", "leaving"),
    [
        ({}, ""),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, "deleted"),
        ({"evacuationNodeName": "n1"}, "evicted"),
        ({"evacuationNodeName": "n2"}, ""),
    ],
)
def test_a_vmi_says_that_it_is_about_to_end(change, leaving):
    machine = vmi(**{name: value for name, value in change.items() if name == "evacuationNodeName"})
    machine["metadata"] |= {name: value for name, value in change.items() if name == "deletionTimestamp"}
    (identity,) = read_identities([machine], node="n1").identities

    assert identity.leaving == leaving


TERMINATING = {"type": "Ready", "status": "False", "reason": "PodTerminating"}


@pytest.mark.parametrize(
    ("status", "leaving"),
    [
        ({}, "evicted"),
        ({"nodeName": "n2"}, ""),  # it has moved, and its old pod goes
        ({"phase": "Succeeded"}, ""),  # its guest has shut down, and the pod ends with it
        ({"conditions": [{"type": "Ready", "status": "False", "reason": "GuestNotRunning"}]}, ""),
    ],
)
def test_a_vmi_whose_pod_goes_while_it_runs_is_evicted(status, leaving):
    """KubeVirt marks for evacuation only what it can move; what it cannot loses its pod, as by `kubectl drain`."""
    machine = vmi(**{"phase": "Running", "nodeName": "n1", "conditions": [TERMINATING], **status})
    (identity,) = read_identities([machine], node="n1").identities

    assert identity.leaving == leaving


def test_a_vmi_names_the_networks_that_it_is_attached_to():
    networks = [
        {"name": "default", "pod": {}},
        {"name": "lan", "multus": {"networkName": "vlan10"}},
        {"name": "wan", "multus": {"networkName": "infra/vlan20"}},
        {"name": "odd", "multus": "text"},
    ]
    (identity,) = read_identities([{**vmi(), "spec": {"networks": networks}}], node="n1").identities

    assert identity.attachments == (("shop", "vlan10"), ("infra", "vlan20"))
