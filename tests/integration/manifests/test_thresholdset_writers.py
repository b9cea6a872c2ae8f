"""Nobody but the operator writes a ThresholdSet, whatever rights they have in a namespace."""

import copy

import pytest

from tests.integration.manifests.conftest import NAMESPACE, OPERATOR, wait_until
from tests.policy_cases import good_policy
from virtwatch_api.compile import compile_policy
from virtwatch_api.policy_codec import parse_policy
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Forbidden, KubeError, NotFound
from virtwatch_kube.paths import resource, virtwatch
from virtwatch_operator.reconcile.thresholds import thresholdset_body

TENANT = "tenant"


def forged(kind: str = "ClusterMonitorPolicy", *, name: str = "forged") -> dict:
    policy = good_policy(kind)
    policy["metadata"].update(uid="made-up", creationTimestamp="2020-01-01T00:00:00Z", generation=1)
    # Of all that a policy can say, what there is an engine for.
    policy["spec"] = {"rules": [rule for rule in policy["spec"]["rules"] if "threshold" in rule]}
    thresholds = compile_policy(parse_policy(policy))
    return thresholdset_body(thresholds, place=(TENANT, name), created="2020-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def tenant(installed) -> KubeClient:
    """Connect as the owner of one namespace, under the operator's own name."""
    kubectl = installed.control_plane.kubectl
    kubectl("create", "namespace", TENANT)
    kubectl("create", "serviceaccount", OPERATOR, f"--namespace={TENANT}")
    kubectl("create", "role", "owner", f"--namespace={TENANT}", "--verb=*", "--resource=thresholdsets.virtwatch.io")
    account = f"--serviceaccount={TENANT}:{OPERATOR}"
    kubectl("create", "rolebinding", "owner", f"--namespace={TENANT}", "--role=owner", account)
    client = KubeClient.from_environment(str(installed.control_plane.service_account_kubeconfig(TENANT, OPERATOR)))
    wait_until(lambda: "alone writes" in said(lambda: post(client, forged())), "the admission policy to be enforced")
    return client


def post(client: KubeClient, body: dict) -> dict:
    return client.create(virtwatch("thresholdsets", namespace=TENANT), body)


def said(attempt) -> str:
    try:
        attempt()
    except KubeError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", ["MonitorPolicy", "ClusterMonitorPolicy"])
def test_a_tenant_cannot_forge_one_in_its_own_namespace(tenant, kind):
    with pytest.raises(Forbidden, match="The operator alone writes ThresholdSets"):
        post(tenant, forged(kind))


def test_not_even_an_admin_changes_the_rules_of_one(tenant, installed):
    operator = installed.client(OPERATOR)
    unowned = forged(name="real")
    del unowned["metadata"]["ownerReferences"]  # there is no such policy: what it owned would be collected at once
    body = post(operator, unowned)
    tampered = copy.deepcopy(body)
    tampered["spec"]["overridable"] = not tampered["spec"]["overridable"]
    path = virtwatch("thresholdsets", namespace=TENANT, name="real")
    for client in (tenant, installed.admin):
        with pytest.raises(Forbidden, match="The operator alone writes ThresholdSets"):
            client.replace(path, tampered, manager="by-hand")
    labelled = {**body, "metadata": {**body["metadata"], "labels": {"mine": "yes"}}}
    assert installed.admin.replace(path, labelled, manager="by-hand")["metadata"]["labels"] == {"mine": "yes"}


def test_garbage_collection_of_one_is_not_held_up(tenant, installed):
    operator = installed.client(OPERATOR)
    post(operator, forged(name="orphan"))  # its owner was never there
    path = virtwatch("thresholdsets", namespace=TENANT, name="orphan")

    def gone() -> bool:
        try:
            installed.admin.get(path)
        except NotFound:
            return True
        return False

    wait_until(gone, "the garbage collector")
    assert installed.admin.get(resource("v1", "namespaces", name=NAMESPACE))
