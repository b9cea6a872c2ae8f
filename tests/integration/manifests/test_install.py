"""`kubectl apply -k manifests/base` installs virtwatch, says nothing that surprises, and may be repeated."""

import json

import pytest

from tests.integration.manifests.conftest import AGENT, BASE, OPERATOR, wait_until
from tools.checkout import CHECKOUT
from virtwatch_api.compile import compile_policy
from virtwatch_api.policy import Policy
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_kube.errors import NotYetServed
from virtwatch_kube.paths import resource

EXAMPLES = sorted((CHECKOUT / "manifests" / "examples").glob("*.yaml"))


def versions(installed) -> dict[str, str]:
    objects = json.loads(installed.control_plane.kubectl("get", "-k", BASE, "-o", "json").stdout)["items"]
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in objects}


def test_everything_is_created(installed):
    said = installed.first_apply.stdout.splitlines()

    assert installed.first_apply.returncode == 0
    assert said
    assert all(line.endswith(" created") for line in said)


def test_applying_again_changes_nothing(installed):
    # Controllers write the status of what was created when they come to it.
    wait_until(lambda: versions(installed) == versions(installed), "two looks at the same")
    before = versions(installed)
    said = installed.control_plane.kubectl("apply", "-k", BASE).stdout.splitlines()

    assert versions(installed) == before
    # kubectl says "configured" of every PodDisruptionBudget, whose selector it always sends whole.
    assert [line for line in said if not line.endswith(" unchanged")] == [
        f"poddisruptionbudget.policy/{OPERATOR} configured"
    ]


def test_applying_on_the_servers_side_conflicts_with_nothing(installed):
    said = installed.control_plane.kubectl("apply", "--server-side", "--dry-run=server", "-k", BASE).stdout.splitlines()

    assert all(line.endswith(" serverside-applied (server dry run)") for line in said)


def test_the_admission_policy_is_free_of_type_errors(installed):
    def status() -> str:
        asked = ("get", "validatingadmissionpolicy", AGENT, "-o", "jsonpath={.status}")
        return installed.control_plane.kubectl(*asked).stdout

    wait_until(lambda: "observedGeneration" in status(), "the types to be checked")
    assert "expressionWarnings" not in status()


def test_the_agents_requests_have_a_queue_of_their_own(installed, agent):
    name = "virtwatch-agents"
    schema = installed.admin.get(resource("flowcontrol.apiserver.k8s.io/v1", "flowschemas", name=name))

    def flow() -> str:
        try:
            answer = agent.stream("/apis/virtwatch.io/v1alpha1/thresholdsets", query=[], read_timeout=30.0)
        except NotYetServed:  # nobody has asked for one before
            return ""
        answer.release_conn()
        return str(answer.headers["X-Kubernetes-PF-FlowSchema-UID"])

    wait_until(lambda: flow() == schema["metadata"]["uid"], "the queue to be in use")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_accepted_and_every_rule_of_it_has_an_engine(installed, example):
    installed.control_plane.kubectl("create", "namespace", "shop", check=False)
    tried = installed.control_plane.kubectl("apply", "--dry-run=server", "-f", str(example))
    said = installed.control_plane.kubectl("apply", "-f", str(example), "-o", "json")
    document = json.loads(said.stdout)

    assert (tried.stderr, said.stderr) == ("", "")
    for item in document.get("items", [document]):
        policy = parse_policy(item)

        assert isinstance(policy, Policy)
        assert isinstance(compile_policy(policy), ThresholdSet)


def test_whoever_may_edit_a_namespace_may_write_its_policies_and_nothing_of_the_cluster(installed):
    # The controller that aggregates roles does not run here: what it would give them is read instead.
    aggregated = installed.admin.list(
        resource("rbac.authorization.k8s.io/v1", "clusterroles"),
        labels="rbac.authorization.k8s.io/aggregate-to-edit=true,app.kubernetes.io/part-of=virtwatch",
    )

    assert [(role["metadata"]["name"], role["rules"]) for role in aggregated] == [
        (
            "virtwatch-edit",
            [
                {
                    "apiGroups": ["virtwatch.io"],
                    "resources": ["monitorpolicies", "notificationchannels", "explanations"],
                    "verbs": ["create", "update", "patch", "delete", "deletecollection"],
                }
            ],
        )
    ]
