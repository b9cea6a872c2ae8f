import copy

import pytest

from tests.unit.operator.builders import CLUSTER_POLICY, POLICY
from virtwatch_api.compile import compile_policy
from virtwatch_api.place import place, policy_at
from virtwatch_api.policy import Enforcement, PolicyKey, PolicyKind
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.problem import Problem, ProblemReason
from virtwatch_api.thresholdset import ThresholdSet, parse_thresholdset
from virtwatch_operator.nodes.nodes import nodemonitor_body
from virtwatch_operator.policies import InForce
from virtwatch_operator.reconcile.foreign import ForeignThresholds
from virtwatch_operator.reconcile.namespaces import Namespaces
from virtwatch_operator.reconcile.thresholds import read_stored, thresholdset_body
from virtwatch_operator.reconcile.verdict import name_reserved, refused, rejected_by_server

INVALID = Problem("spec.rules[0].threshold.signal", 'unknown signal "vm.cpu"')
LATER = Problem("spec.rules[1].pattern", "judging a pattern is not implemented", ProblemReason.NOT_IMPLEMENTED)


def document(kind="MonitorPolicy", **metadata):
    return {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "p", "uid": "u", "generation": 2, "creationTimestamp": "2026-11-01T10:00:00Z", **metadata},
        "spec": {"rules": [{"name": "r", "threshold": {"signal": "vm.cpu.utilization", "warning": {"above": "0.9"}}}]},
    }


def compiled(policy):
    thresholds = compile_policy(parse_policy(policy))
    assert isinstance(thresholds, ThresholdSet)
    return thresholds


def test_a_thresholdset_lives_beside_its_policy_and_a_clusters_beside_the_operator():
    assert place(POLICY, operator_namespace="vw") == ("shop", "web-tier")
    assert place(CLUSTER_POLICY, operator_namespace="vw") == ("vw", "cluster.base")


@pytest.mark.parametrize(
    ("kind", "namespace"), [("MonitorPolicy", {"namespace": "shop"}), ("ClusterMonitorPolicy", {})]
)
def test_a_thresholdset_reads_back_as_what_was_compiled(kind, namespace):
    policy = document(kind, **namespace)
    body = thresholdset_body(compiled(policy), place=("ns", "name"), created=policy["metadata"]["creationTimestamp"])
    assert parse_thresholdset(body) == compiled(policy)
    assert [(owner["kind"], owner["uid"]) for owner in body["metadata"]["ownerReferences"]] == [(kind, "u")]
    stored = read_stored(body)
    assert stored.policy == PolicyKey(PolicyKind(kind), "p", namespace.get("namespace"))
    assert stored.in_force == InForce(compiled(policy).hash, 2, Enforcement.ENFORCE)


def test_a_refusal_names_every_field_and_what_stays_in_force():
    finding = refused([INVALID, LATER], generation=4, in_force=3)
    assert (finding.status, finding.reason) == (False, "Invalid")
    assert finding.message == (
        '(1) spec.rules[0].threshold.signal: unknown signal "vm.cpu" '
        "(2) spec.rules[1].pattern: judging a pattern is not implemented. "
        "Generation 3 stays in force until generation 4 is mended."
    )


def test_what_is_merely_not_there_yet_is_not_called_invalid():
    finding = refused([LATER], generation=1, in_force=None)
    assert finding.reason == "NotImplemented"
    assert finding.message.startswith("spec.rules[1].pattern: judging")
    assert finding.message.endswith("Nothing is in force until generation 1 is mended.")


def test_a_long_list_of_problems_is_cut_and_counted():
    finding = refused([INVALID] * 30, generation=1, in_force=None)
    assert "(8) " in finding.message
    assert "(9) " not in finding.message
    assert " and 22 more." in finding.message


def test_the_other_refusals_say_what_to_do():
    assert "The API server refuses" in rejected_by_server("422", generation=1, in_force=None).message
    reserved = name_reserved(PolicyKey(PolicyKind.MONITOR_POLICY, "cluster.base", "vw"), generation=1)
    assert "give the policy another name" in reserved.message


def stored_and_body():
    policy = document(namespace="shop")
    body = thresholdset_body(compiled(policy), place=("shop", "p"), created=policy["metadata"]["creationTimestamp"])
    return copy.deepcopy(body), body


def test_the_trace_and_the_generation_make_no_thresholds_differ():
    stands, body = stored_and_body()
    stands["spec"]["traceparent"] = "00-a-b-01"
    stands["spec"]["policy"]["generation"] = 1
    assert read_stored(stands).is_as(body)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda stands: stands["spec"]["rules"][0]["threshold"]["warning"].update(above="1e9"),
        lambda stands: stands["spec"].update(namespaces=["kube-system"]),
        lambda stands: stands["spec"].update(overridable=False),
        lambda stands: stands["spec"]["policy"].update(uid="another"),
        lambda stands: stands["metadata"].update(ownerReferences=[]),
        lambda stands: stands.update(spec=None),
    ],
)
def test_thresholds_changed_by_hand_differ_though_their_hash_is_left(tamper):
    stands, body = stored_and_body()
    tamper(stands)
    assert not read_stored(stands).is_as(body)


def test_a_place_belongs_to_one_policy_whatever_stands_there_claims():
    for key in (POLICY, CLUSTER_POLICY):
        namespace, name = place(key, operator_namespace="vw")
        assert policy_at(namespace, name, operator_namespace="vw") == key
    assert policy_at("shop", "cluster.base", operator_namespace="vw").kind is PolicyKind.MONITOR_POLICY


def test_thresholds_of_no_policy_are_named_once(caplog):
    stands, _ = stored_and_body()
    stands["metadata"]["uid"] = "t1"
    stands["spec"]["policy"] = {"kind": "ClusterMonitorPolicy", "name": "base"}
    foreign = ForeignThresholds(operator_namespace="vw")
    for _ in range(3):
        foreign.look([stands], {CLUSTER_POLICY})
    (line,) = caplog.messages
    assert line.startswith(
        "ThresholdSet shop/p belongs to no policy and is ignored; it claims ClusterMonitorPolicy base"
    )
    assert foreign.look([stands], {PolicyKey(PolicyKind.MONITOR_POLICY, "p", "shop")}) == 0


def namespace(name, **labels):
    return {"metadata": {"name": name, "labels": labels}}


def test_a_policy_that_selects_by_namespace_labels_is_marked_when_these_change():
    marked = []
    namespaces = Namespaces(marked.append)
    old = namespace("shop", team="a")
    namespaces.on_change(None, old)
    assert namespaces.labels_for(CLUSTER_POLICY) == {}
    namespaces.populate("shop")
    namespaces.populate("shop")
    assert namespaces.labels_for(CLUSTER_POLICY) == {"shop": {"team": "a"}}
    assert marked == [CLUSTER_POLICY]
    namespaces.on_change(old, {**old, "status": {"phase": "Active"}})
    namespaces.on_change(None, namespace("without-vms", team="a"))
    namespaces.on_change(namespace("without-vms", team="a"), None)
    assert marked == [CLUSTER_POLICY]
    namespaces.on_change(old, namespace("shop", team="b"))
    assert namespaces.labels_for(CLUSTER_POLICY) == {"shop": {"team": "b"}}
    namespaces.on_change(namespace("shop"), None)
    assert marked == [CLUSTER_POLICY] * 3
    assert namespaces.labels_for(CLUSTER_POLICY) == {}
    namespaces.on_change(None, namespace("shop", team="b"))
    namespaces.populate("shop")
    assert marked == [CLUSTER_POLICY] * 4
    namespaces.forget(CLUSTER_POLICY)
    namespaces.on_change(namespace("shop"), namespace("shop", team="c"))
    assert len(marked) == 4


def test_a_nodemonitor_has_its_nodes_labels_and_ends_with_it():
    labels = {"zone": "a", "feature.example.com/many": "true", "kubernetes.io/hostname": "n1"}
    body = nodemonitor_body({"metadata": {"name": "n1", "uid": "u", "labels": labels}}, {"zone"})
    assert body["metadata"] == {
        "name": "n1",
        "labels": {"zone": "a", "kubernetes.io/hostname": "n1"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u"}],
    }
