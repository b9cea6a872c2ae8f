"""Each account may do what it must, and nothing else: every verb on every resource that the API server has is asked."""

import pytest

from tests.integration.manifests.conftest import AGENT, NAMESPACE, OPERATOR
from virtwatch_kube.client import KubeClient
from virtwatch_kube.paths import resource

READ = ("get", "list", "watch")
VERBS = (*READ, "create", "update", "patch", "delete", "deletecollection")
OURS, KUBEVIRT = "virtwatch.io", "kubevirt.io"
POLICIES = ("monitorpolicies", "clustermonitorpolicies", "notificationchannels")


def rights(group: str, names: tuple[str, ...], verbs: tuple[str, ...]) -> set[tuple[str, str, str]]:
    return {(verb, group, name) for name in names for verb in verbs}


AGENT_RIGHTS = {
    *rights(OURS, ("thresholdsets", "nodemonitors"), READ),
    *rights(OURS, ("nodemonitors/status",), ("patch",)),
    *rights(KUBEVIRT, ("virtualmachineinstances",), READ),
    *rights("", ("persistentvolumeclaims",), ("get",)),
    *rights(OURS, ("explanations",), READ),
    *rights(OURS, ("explanations/status",), ("patch",)),
}
OPERATOR_RIGHTS = {
    *rights(OURS, POLICIES, READ),
    *rights(OURS, tuple(f"{name}/status" for name in POLICIES), ("patch", "update")),
    *rights(OURS, ("thresholdsets",), (*READ, "create", "update")),
    *rights(OURS, ("nodemonitors",), (*READ, "create", "patch")),
    *rights(OURS, ("explanations",), (*READ, "patch", "delete")),
    *rights(OURS, ("explanations/status",), ("patch",)),
    *rights("events.k8s.io", ("events",), ("get", "create", "patch")),
    *rights("", ("namespaces",), READ),
    *rights("", ("nodes",), READ),
    *rights(KUBEVIRT, ("virtualmachineinstances",), READ),
}
IN_ITS_NAMESPACE = {
    *rights("", ("pods",), READ),
    *rights("", ("configmaps",), ("get", "list", "create", "patch", "delete")),
    *rights("coordination.k8s.io", ("leases",), ("create",)),
}


def all_resources(client: KubeClient) -> set[tuple[str, str]]:
    """Name every resource and subresource with its group."""
    groups = client.get("/apis")["groups"]
    paths = {"/api/v1": "", **{f"/apis/{v['groupVersion']}": g["name"] for g in groups for v in g["versions"]}}
    return {(group, item["name"]) for path, group in paths.items() for item in client.get(path)["resources"]}


def may(client: KubeClient, account: str, right: tuple[str, str, str], *, namespace: str = "", name: str = "") -> bool:
    verb, group, what = right
    kind, _, subresource = what.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:{account}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"],
            "resourceAttributes": {
                "verb": verb,
                "group": group,
                "resource": kind,
                "subresource": subresource,
                "namespace": namespace,
                "name": name,
            },
        },
    }
    answer = client.create(resource("authorization.k8s.io/v1", "subjectaccessreviews"), review)
    return bool(answer["status"]["allowed"])


@pytest.mark.parametrize(
    ("account", "namespace", "expected"),
    [
        (AGENT, "", AGENT_RIGHTS),
        (AGENT, NAMESPACE, AGENT_RIGHTS),
        (OPERATOR, "", OPERATOR_RIGHTS),
        (OPERATOR, NAMESPACE, OPERATOR_RIGHTS | IN_ITS_NAMESPACE),
    ],
)
def test_an_account_has_exactly_these_rights(installed, account, namespace, expected):
    resources = all_resources(installed.admin)
    assert {(group, what) for _, group, what in expected} <= resources
    asked = {(verb, group, what) for group, what in resources for verb in VERBS}
    allowed = {right for right in asked if may(installed.admin, account, right, namespace=namespace)}
    # What Kubernetes lets every account do, such as to ask about itself.
    everybodys = {right for right in allowed if may(installed.admin, "nobody", right, namespace=namespace)}

    assert allowed - everybodys == expected
    assert not everybodys & expected


@pytest.mark.parametrize("verb", VERBS)
def test_of_kubevirts_vms_the_operator_may_read_one_and_no_more(installed, verb):
    """Their kind is not served here, but may be asked about: an annotation silences."""
    right = (verb, KUBEVIRT, "virtualmachines")
    assert may(installed.admin, OPERATOR, right, namespace="shop") is (verb == "get")
    assert not may(installed.admin, AGENT, right, namespace="shop")


@pytest.mark.parametrize("verb", VERBS)
def test_of_guests_the_agent_may_read_file_systems_and_no_more(installed, verb):
    """KubeVirt's API is not served here, but may be asked about."""
    may_read = [
        what
        for what in ("filesystemlist", "userlist", "guestosinfo", "console", "pause")
        if may(
            installed.admin, AGENT, (verb, "subresources.kubevirt.io", f"virtualmachineinstances/{what}"), namespace="s"
        )
    ]

    assert may_read == (["filesystemlist"] if verb == "get" else [])


@pytest.mark.parametrize("verb", VERBS)
def test_the_agent_may_read_a_network_that_a_vm_names(installed, verb):
    """Multus' kind is not served here, but may be asked about."""
    right = (verb, "k8s.cni.cncf.io", "network-attachment-definitions")

    assert may(installed.admin, AGENT, right, namespace="shop") is (verb == "get")
    assert not may(installed.admin, OPERATOR, right, namespace="shop")


@pytest.mark.parametrize("verb", ["get", "update", "patch"])
def test_the_operator_holds_its_own_lease_and_no_other(installed, verb):
    right = (verb, "coordination.k8s.io", "leases")

    assert may(installed.admin, OPERATOR, right, namespace=NAMESPACE, name=OPERATOR)
    assert not may(installed.admin, OPERATOR, right, namespace=NAMESPACE, name="another")
    assert not may(installed.admin, OPERATOR, right, namespace="kube-system", name=OPERATOR)
