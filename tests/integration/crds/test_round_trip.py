"""What is written comes back the same through a real API server: policies, ThresholdSets, NodeMonitors."""

from dataclasses import replace

import pytest

from tests.policy_cases import good_policy
from tests.report_cases import TRACEPARENT, full_status
from virtwatch_api.alert import Action, Reason
from virtwatch_api.compile import compile_policy
from virtwatch_api.nodemonitor import Acknowledged
from virtwatch_api.nodemonitor_codec import decode_nodemonitor, encode_acknowledged, encode_status
from virtwatch_api.policy import Collection, Policy
from virtwatch_api.policy_codec import API_VERSION, parse_policy
from virtwatch_api.problem import Problem, ProblemReason
from virtwatch_api.support import unsupported
from virtwatch_api.thresholdset import ThresholdSet, encode_spec, parse_thresholdset
from virtwatch_kube.client import KubeClient
from virtwatch_kube.paths import virtwatch

KINDS = {"MonitorPolicy": "monitorpolicies", "ClusterMonitorPolicy": "clustermonitorpolicies"}
MANAGER = "round-trip"


def supported(policy: Policy) -> Policy:
    """Leave out what no engine of this version judges."""
    refused = {item.path for item in unsupported_of(policy)}
    rules = [
        rule
        for index, rule in enumerate(policy.spec.rules)
        if not any(path.startswith(f"spec.rules[{index}].") for path in refused)
    ]
    return replace(policy, spec=replace(policy.spec, rules=tuple(rules), collection=Collection()))


def unsupported_of(policy: Policy) -> list[Problem]:
    spec = policy.spec
    return list(unsupported(target=spec.target, collection=spec.collection, rules=spec.rules))


def stored(client: KubeClient, document: dict) -> dict:
    """Apply a policy and return what the API server keeps of it, with all its defaults."""
    metadata = document["metadata"]
    path = virtwatch(KINDS[document["kind"]], namespace=metadata.get("namespace"), name=metadata["name"])
    return client.apply(path, document, manager=MANAGER)


def through_the_server(client: KubeClient, thresholds: ThresholdSet, created: str) -> ThresholdSet:
    document = {
        "apiVersion": API_VERSION,
        "kind": "ThresholdSet",
        "metadata": {"name": thresholds.policy.name, "namespace": "default"},
        "spec": encode_spec(thresholds, created=created),
    }
    path = virtwatch("thresholdsets", namespace="default", name=thresholds.policy.name)
    client.apply(path, document, manager=MANAGER)
    read = parse_thresholdset(client.get(path))
    assert isinstance(read, ThresholdSet), read
    return read


def compiled(policy: Policy) -> ThresholdSet:
    labels = {"shop-a": {"team": "shop"}, "other": {"team": "other"}}
    thresholds = compile_policy(policy, namespace_labels=labels, traceparent=TRACEPARENT)
    assert isinstance(thresholds, ThresholdSet), thresholds
    return thresholds


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_reaches_an_agent_as_it_was_meant(client, kind):
    document = stored(client, good_policy(kind))
    policy = parse_policy(document)
    assert isinstance(policy, Policy)
    thresholds = compiled(supported(policy))

    assert through_the_server(client, thresholds, document["metadata"]["creationTimestamp"]) == thresholds


@pytest.mark.parametrize("kind", KINDS)
def test_rules_without_an_engine_survive_as_well(client, kind):
    document = stored(client, good_policy(kind))
    whole = parse_policy(document)
    assert isinstance(whole, Policy)
    thresholds = replace(compiled(supported(whole)), rules=whole.spec.rules, collection=whole.spec.collection)

    assert through_the_server(client, thresholds, document["metadata"]["creationTimestamp"]) == thresholds


@pytest.mark.parametrize("kind", KINDS)
def test_rules_without_an_engine_are_stored_and_then_named(client, kind):
    policy = parse_policy(stored(client, good_policy(kind)))
    assert isinstance(policy, Policy)
    said = compile_policy(policy)
    problems = said if isinstance(said, tuple) else ()

    assert {problem.reason for problem in problems} <= {ProblemReason.NOT_IMPLEMENTED}
    for rule in policy.spec.rules:
        named = any(problem.subject == f'rule "{rule.name}"' for problem in problems)
        assert named is (rule not in supported(policy).spec.rules)


MINIMAL = {
    "threshold": {"threshold": {"signal": "vm.memory.rss", "warning": {"above": "1Gi"}}},
    "event": {"severity": "Warning", "event": {"type": "vm.crashed"}},
    "condition": {"severity": "Warning", "condition": {"allOf": [{"signal": "vm.memory.rss", "above": 5}]}},
    "group": {
        "severity": "Warning",
        "condition": {"anyOf": [{"allOf": [{"signal": "vm.memory.rss", "above": 5}]}]},
    },
    "count": {"severity": "Warning", "pattern": {"count": {"type": "vm.crashed"}, "within": "1m"}},
    "anomaly": {"severity": "Warning", "anomaly": {"signals": ["vm.memory.rss"]}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_of_the_schema_are_the_parsers(client, kind):
    document = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": "minimal", **({"namespace": "default"} if kind == "MonitorPolicy" else {})},
        "spec": {
            "rules": [{"name": name, **rule} for name, rule in MINIMAL.items()],
            "notify": [{"channel": "oncall"}],
        },
    }
    as_written, as_stored = parse_policy(document), parse_policy(stored(client, document))

    assert isinstance(as_written, Policy)
    assert isinstance(as_stored, Policy)
    assert as_stored.spec == as_written.spec


def test_a_full_report_reaches_the_operator_unchanged(client):
    status = full_status()
    path = virtwatch("nodemonitors", name="node-a")
    head = {"apiVersion": API_VERSION, "kind": "NodeMonitor", "metadata": {"name": "node-a"}}
    acknowledged = Acknowledged("6f1c2b", 5)
    client.apply(path, {**head, "spec": {"acknowledged": encode_acknowledged(acknowledged)}}, manager="operator")
    client.apply(f"{path}/status", {**head, "status": encode_status(status)}, manager="agent")
    read = decode_nodemonitor(client.get(path))

    assert read.status == status
    assert read.acknowledged == acknowledged


def test_every_reason_of_a_transition_is_in_the_schema(client):
    status = full_status()
    rest = tuple(
        replace(status.transitions[0], sequence=number, action=action, reason=reason)
        for number, (action, reason) in enumerate(((a, r) for a in reversed(Action) for r in Reason), start=1)
    )[:32]
    head = {"apiVersion": API_VERSION, "kind": "NodeMonitor", "metadata": {"name": "node-b"}}
    path = virtwatch("nodemonitors", name="node-b")
    client.apply(path, {**head, "spec": {}}, manager="operator")
    client.apply(
        f"{path}/status", {**head, "status": encode_status(replace(status, transitions=rest))}, manager="agent"
    )

    assert decode_nodemonitor(client.get(path)).status == replace(status, transitions=rest)


def test_a_report_with_a_sentence_that_is_too_long_arrives(client):
    status = full_status()
    rejected = replace(status.applied[0], rejected="x" * 100_000)
    head = {"apiVersion": API_VERSION, "kind": "NodeMonitor", "metadata": {"name": "node-c"}}
    path = virtwatch("nodemonitors", name="node-c")
    client.apply(path, {**head, "spec": {}}, manager="operator")
    client.apply(
        f"{path}/status", {**head, "status": encode_status(replace(status, applied=(rejected,)))}, manager="agent"
    )
    read = decode_nodemonitor(client.get(path))

    assert read.status is not None
    assert read.status.applied[0].rejected == "x" * 1024
