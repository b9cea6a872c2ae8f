"""What Pod Security's admission, the API server's own, says of virtwatch's pods: docs/security.md lists the same."""

import json

import pytest

from tests.integration.manifests.conftest import AGENT, OPERATOR
from tests.integration.manifests.security_page import documented, violations
from tools.checkout import CHECKOUT
from virtwatch_kube.paths import resource

OVERLAYS = CHECKOUT / "manifests" / "overlays"


def admit(installed, level: str, template: dict) -> str:
    """Ask for a pod in a namespace that admits this level, without making it; return the refusal, if it is refused."""
    name = f"only-{level}"
    labels = {"pod-security.kubernetes.io/enforce": level}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    installed.admin.apply(f"/api/v1/namespaces/{name}", namespace, manager="test")
    account = template["spec"]["serviceAccountName"]
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": name}}
    installed.admin.apply(resource("v1", "serviceaccounts", namespace=name, name=account), body, manager="test")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "trial", "namespace": name},
        "spec": template["spec"],
    }
    asked = installed.control_plane.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod), check=False)
    return "" if asked.returncode == 0 else asked.stderr.strip()


def agent_of_overlay(installed, name: str) -> dict:
    said = installed.control_plane.kubectl("apply", "--dry-run=server", "-k", str(OVERLAYS / name), "-o", "json").stdout
    [daemonset] = [item for item in json.loads(said)["items"] if item["kind"] == "DaemonSet"]
    template: dict = daemonset["spec"]["template"]
    return template


def test_the_operator_is_admitted_where_only_restricted_pods_are(installed):
    assert admit(installed, "restricted", installed.pod_template(f"deployment/{OPERATOR}")) == ""


def test_the_agent_is_refused_there_for_exactly_what_is_documented(installed):
    refusal = admit(installed, "restricted", installed.pod_template(f"daemonset/{AGENT}"))

    assert violations(refusal) == documented("What the agent takes") != set()


def test_without_kubevirt_the_agent_takes_less_as_documented(installed):
    refusal = admit(installed, "restricted", agent_of_overlay(installed, "libvirt"))

    assert violations(refusal) == documented("What it takes without KubeVirt") != set()


def test_the_level_below_refuses_the_agent_too_and_the_one_of_its_namespace_does_not(installed):
    template = installed.pod_template(f"daemonset/{AGENT}")

    assert "hostPath volumes" in admit(installed, "baseline", template)
    assert admit(installed, "privileged", template) == ""


@pytest.mark.parametrize("host", ["hostNetwork", "hostPID", "hostIPC"])
def test_a_further_exemption_would_be_noticed(installed, host):
    template = installed.pod_template(f"daemonset/{AGENT}")
    template["spec"][host] = True

    assert violations(admit(installed, "restricted", template)) - documented("What the agent takes")


def test_applying_it_warns_of_what_is_documented_and_of_nothing_else(installed):
    [warning] = installed.first_apply.stderr.splitlines()

    assert violations(warning) == documented("What the agent takes")
