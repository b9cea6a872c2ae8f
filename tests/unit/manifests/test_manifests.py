"""manifests/, the Dockerfiles and the programs that they start say the same."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from virtwatch_agent.config import AgentSettings
from virtwatch_operator.__main__ import LEASE
from virtwatch_operator.config import OperatorSettings
from virtwatch_operator.nodes.agents import AGENT_LABELS

ROOT = Path(__file__).parents[3]
BASE = ROOT / "manifests" / "base"
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# All annotations of an object together: the API server takes no more.
ANNOTATIONS_BYTES = 256 << 10
WORKLOADS = {"agent": "agent-daemonset.yaml", "operator": "operator-deployment.yaml"}


def manifest(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((BASE / name).read_text())
    return document


def pod(who: str) -> dict[str, Any]:
    template: dict[str, Any] = manifest(WORKLOADS[who])["spec"]["template"]
    return template


def container(who: str) -> dict[str, Any]:
    [only] = pod(who)["spec"]["containers"]
    found: dict[str, Any] = only
    return found


class Recorded(dict[str, str]):
    """An environment that notes what is asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


def environment(who: str) -> Recorded:
    fields = {"spec.nodeName": "node-1", "metadata.name": "pod-1", "metadata.namespace": "virtwatch-system"}
    return Recorded(
        {
            item["name"]: item.get("value") or fields[item["valueFrom"]["fieldRef"]["fieldPath"]]
            for item in container(who)["env"]
        }
    )


def test_every_object_has_a_file_of_its_own_that_is_applied():
    files = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}

    assert files == set(KUSTOMIZATION["resources"]) - {"../../crds"}
    for name in files:
        kind = manifest(name)["kind"]

        assert name == f"{kind.lower()}.yaml" or name.endswith(f"-{kind.lower()}.yaml")


def test_the_crds_are_applied_whole():
    crds = yaml.safe_load((ROOT / "crds" / "Kustomization").read_text())

    assert crds["resources"] == sorted(path.name for path in (ROOT / "crds").glob("*.yaml"))


def test_every_crd_fits_into_the_annotation_that_kubectl_apply_writes():
    for path in (ROOT / "crds").glob("*.yaml"):
        written = json.dumps(yaml.safe_load(path.read_text()), separators=(",", ":"))  # as kubectl does
        assert len(written) < ANNOTATIONS_BYTES / 2, path.name


@pytest.mark.parametrize("who", WORKLOADS)
def test_the_images_are_of_this_release(who):
    tags = {item["name"]: item["newTag"] for item in KUSTOMIZATION["images"]}

    assert container(who)["image"] == f"virtwatch-{who}"
    assert tags[f"virtwatch-{who}"] == PROJECT["version"]


def test_the_agent_takes_its_settings_from_the_daemonset():
    env = environment("agent")
    settings = AgentSettings.from_environment(env)

    assert isinstance(settings, AgentSettings)
    assert {name for name in env if name.startswith("VIRTWATCH_")} <= env.asked
    mounts = {mount["mountPath"]: mount for mount in container("agent")["volumeMounts"]}
    assert settings.node == "node-1"
    assert str(settings.pods_dir) in mounts
    assert str(settings.libvirt_socket.parent) in mounts
    assert str(settings.proc) in mounts
    assert "readOnly" not in mounts[str(settings.state_dir)]
    assert settings.health_port == container("agent")["ports"][0]["containerPort"]


def test_the_operator_takes_its_settings_from_the_deployment():
    env = environment("operator")
    settings = OperatorSettings.from_environment(env)

    assert isinstance(settings, OperatorSettings)
    assert {name for name in env if name.startswith("VIRTWATCH_")} <= env.asked
    assert (settings.namespace, settings.pod, settings.lease) == ("virtwatch-system", "pod-1", True)
    assert settings.health_port == container("operator")["ports"][0]["containerPort"]


@pytest.mark.parametrize("who", WORKLOADS)
def test_telemetry_is_told_by_a_configmap_and_a_secret_that_need_not_exist(who):
    named = {"name": "virtwatch-telemetry", "optional": True}

    assert container(who)["envFrom"] == [{"configMapRef": named}, {"secretRef": named}]


def test_the_operator_finds_its_lease_and_the_agents_pods():
    leases = [rule for rule in manifest("operator-role.yaml")["rules"] if rule["resources"] == ["leases"]]
    [named] = [rule["resourceNames"] for rule in leases if "resourceNames" in rule]
    label, _, value = AGENT_LABELS.partition("=")

    assert named == [LEASE]
    assert pod("agent")["metadata"]["labels"][label] == value


def test_the_agent_has_one_capability_and_no_more_of_the_host_than_it_reads():
    spec, security = pod("agent")["spec"], container("agent")["securityContext"]

    assert not {"hostPID", "hostIPC", "hostNetwork"} & set(spec)
    assert spec["securityContext"]["seLinuxOptions"] == {"type": "spc_t"}
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]}
    assert (security["privileged"], security["allowPrivilegeEscalation"]) == (False, False)
    assert (security["runAsUser"], security["readOnlyRootFilesystem"]) == (0, True)
    assert {volume["hostPath"]["path"] for volume in spec["volumes"]} == {
        "/var/lib/kubelet/pods",
        "/run/libvirt",
        "/proc",
        "/sys",
        "/var/lib/virtwatch",
    }
    assert [mount["name"] for mount in container("agent")["volumeMounts"] if not mount.get("readOnly")] == ["state"]


def test_a_rollout_takes_a_tenth_of_the_agents_at_a_time():
    strategy = manifest("agent-daemonset.yaml")["spec"]["updateStrategy"]

    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}


def test_nothing_from_another_node_reaches_any_pod():
    policy = manifest("networkpolicy.yaml")
    chosen = policy["spec"].pop("podSelector")["matchLabels"].items()

    assert policy["spec"] == {"policyTypes": ["Ingress"]}
    for who in WORKLOADS:
        assert chosen <= pod(who)["metadata"]["labels"].items()
        assert manifest(WORKLOADS[who])["metadata"]["namespace"] == policy["metadata"]["namespace"]


@pytest.mark.parametrize("who", WORKLOADS)
def test_both_probes_ask_the_health_port(who):
    probes = {kind: container(who)[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness")}

    assert probes == {
        "liveness": {"path": "/healthz", "port": "health"},
        "readiness": {"path": "/readyz", "port": "health"},
    }


@pytest.mark.parametrize("who", WORKLOADS)
def test_an_image_starts_its_program_and_brings_no_compiler(who):
    text = (ROOT / who / "Dockerfile").read_text()
    build, result = re.split(r"^FROM \$\{BASE\}$", text.replace("FROM ${BASE} AS build", ""), flags=re.MULTILINE)
    [entry] = re.findall(r'ENTRYPOINT \["/opt/virtwatch/bin/(.*)"\]', result)

    assert build.startswith("#")
    assert entry in PROJECT["scripts"]
    assert not re.search(r"gcc|-dev\b|pip install", result)
    assert f"requirements/{who}.lock" in build
    assert (ROOT / "requirements" / f"{who}.lock").exists()


def test_both_images_are_built_on_one_release_of_python():
    bases = {
        line
        for who in WORKLOADS
        for line in (ROOT / who / "Dockerfile").read_text().splitlines()
        if line.startswith("ARG BASE=")
    }

    assert len(bases) == 1
    assert re.fullmatch(r"ARG BASE=docker\.io/library/python:3\.11\.\d+-slim-bookworm", bases.pop())


@pytest.mark.parametrize("who", WORKLOADS)
def test_an_image_is_labelled_with_its_release(who):
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="(.+?)"', (ROOT / who / "Dockerfile").read_text()))

    assert (labels["title"], labels["version"]) == (f"virtwatch-{who}", PROJECT["version"])
    assert labels["licenses"] == PROJECT["license"]


def test_the_operators_image_runs_as_the_user_of_the_deployment():
    [user] = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "operator" / "Dockerfile").read_text(), flags=re.MULTILINE)
    security = pod("operator")["spec"]["securityContext"]

    assert (security["runAsNonRoot"], security["runAsUser"], security["runAsGroup"]) == (True, *map(int, user))


def test_an_image_is_built_from_all_that_the_wheel_holds():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {path.split("/")[0] for path in (*wheel["packages"], *wheel.get("force-include", {}))}
    sent = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }

    assert needed | {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "requirements"} == sent


def test_kind_starts_a_cluster_between_whose_nodes_a_vm_can_migrate():
    config = yaml.safe_load((ROOT / "kind-config.yaml").read_text())

    assert (config["apiVersion"], config["kind"]) == ("kind.x-k8s.io/v1alpha4", "Cluster")
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
