"""What checkov, which users run over what they install, finds in virtwatch: docs/security.md answers exactly that."""

import subprocess
from pathlib import Path

import pytest
import yaml

from lab.controlplane.binaries import API, find_programs
from tests.integration.manifests.security_page import answered
from tools.checkout import CHECKOUT
from tools.checkov import Finding, findings
from tools.dist import dist
from tools.errors import ToolError

DOCKERFILES = {"agent/Dockerfile", "operator/Dockerfile"}
AGENT = "DaemonSet/virtwatch-agent"
CAPABILITY = Finding("CKV_K8S_25", AGENT)


@pytest.fixture(scope="module")
def libvirt(tmp_path_factory) -> Path:
    """Write what the overlay for nodes without KubeVirt installs into one file."""
    argv = [str(find_programs(API)["kubectl"]), "kustomize", str(CHECKOUT / "manifests" / "overlays" / "libvirt")]
    file: Path = tmp_path_factory.mktemp("judged") / "libvirt.yaml"
    file.write_bytes(subprocess.run(argv, capture_output=True, check=True).stdout)
    return file


def answered_of_manifests() -> set[Finding]:
    return {finding for finding in answered() if finding.on not in DOCKERFILES}


def test_all_that_it_finds_in_the_one_file_to_install_from_is_answered(tmp_path):
    file = tmp_path / "virtwatch.yaml"
    dist(file=file)

    assert findings("kubernetes", file) == answered_of_manifests() != set()


def test_without_kubevirt_it_finds_the_same_but_the_capability(libvirt):
    assert findings("kubernetes", libvirt) == answered_of_manifests() - {CAPABILITY}
    assert CAPABILITY in answered()


def test_all_that_it_finds_in_the_dockerfiles_is_answered():
    found = findings("dockerfile", *(CHECKOUT / path for path in sorted(DOCKERFILES)))

    assert found == answered() - answered_of_manifests() != set()


def test_a_manifest_that_got_worse_would_be_noticed(libvirt, tmp_path):
    documents = list(yaml.safe_load_all(libvirt.read_text()))
    [pod] = [item["spec"]["template"]["spec"] for item in documents if item["kind"] == "DaemonSet"]
    pod["hostPID"] = True
    worse = tmp_path / "worse.yaml"
    worse.write_text(yaml.safe_dump_all(item for item in documents if item["kind"] != "NetworkPolicy"))

    found = findings("kubernetes", worse) - answered()

    assert Finding("CKV_K8S_17", AGENT) in found  # shares the host's PID namespace
    assert {finding.check for finding in found} == {"CKV_K8S_17", "CKV2_K8S_6"}  # and lacks a NetworkPolicy


def test_a_file_without_any_object_is_no_clean_bill(tmp_path):
    (tmp_path / "empty.yaml").write_text("{}\n")

    with pytest.raises(ToolError, match="could not read"):
        findings("kubernetes", tmp_path / "empty.yaml")
