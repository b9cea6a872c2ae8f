import json
from pathlib import Path

import pytest

from lab.controlplane import binaries
from lab.controlplane.cluster import READY_DEADLINE_S, ControlPlane
from lab.process import wait_for
from tools.errors import ToolError

NAMESPACE = "lab-test"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "agent-1", "namespace": NAMESPACE},
    "spec": {
        "nodeName": "node-1",
        "serviceAccountName": "agent",
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "agent", "image": "none"}],
    },
}
VMI = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstance",
    "metadata": {"name": "web-1", "namespace": NAMESPACE, "labels": {"kubevirt.io/nodeName": "node-1"}},
    "spec": {"domain": {"devices": {}}},
    "status": {
        "phase": "Running",
        "nodeName": "node-1",
        "activePods": {"6a1f": "node-1"},
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}


@pytest.fixture(scope="module", autouse=True)
def namespace(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "namespace", NAMESPACE)
    control_plane.kubectl("create", "serviceaccount", "agent", "-n", NAMESPACE)
    for thing in (POD, VMI):
        control_plane.kubectl("apply", "-f", "-", input=json.dumps(thing))


def whoami(control_plane: ControlPlane, kubeconfig: Path) -> dict[str, object]:
    said = control_plane.kubectl("--kubeconfig", str(kubeconfig), "auth", "whoami", "-o", "json").stdout
    user = json.loads(said)["status"]["userInfo"]
    assert isinstance(user, dict)
    return user


def vmi(control_plane: ControlPlane) -> str:
    return control_plane.kubectl("get", "vmi", "web-1", "-n", NAMESPACE, "--no-headers").stdout


def test_a_token_bound_to_a_pod_carries_the_pods_node(control_plane: ControlPlane) -> None:
    user = whoami(control_plane, control_plane.service_account_kubeconfig(NAMESPACE, "agent", bound_pod="agent-1"))
    assert user["username"] == f"system:serviceaccount:{NAMESPACE}:agent"
    assert isinstance(user["extra"], dict)
    assert user["extra"]["authentication.kubernetes.io/node-name"] == ["node-1"]


def test_an_unbound_token_carries_no_node(control_plane: ControlPlane) -> None:
    user = whoami(control_plane, control_plane.service_account_kubeconfig(NAMESPACE, "agent"))
    assert "authentication.kubernetes.io/node-name" not in str(user)


def test_a_service_account_may_do_nothing_by_itself(control_plane: ControlPlane) -> None:
    kubeconfig = control_plane.service_account_kubeconfig(NAMESPACE, "agent")
    with pytest.raises(ToolError, match="forbidden"):
        control_plane.kubectl("--kubeconfig", str(kubeconfig), "get", "vmi", "-n", NAMESPACE)


def test_keys_and_tokens_are_for_their_owner_alone(control_plane: ControlPlane) -> None:
    bound = control_plane.service_account_kubeconfig(NAMESPACE, "agent")
    assert {oct(path.stat().st_mode & 0o777) for path in (control_plane.kubeconfig, bound)} == {"0o600"}
    assert control_plane.pki.folder.stat().st_mode & 0o077 == 0


def test_a_vmi_shows_what_kubevirt_shows(control_plane: ControlPlane) -> None:
    assert vmi(control_plane).split()[2:] == ["Running", "node-1", "True"]


@pytest.mark.parametrize("part", ["apiserver", "etcd", "controller_manager"])
def test_a_killed_part_comes_back_with_the_data(control_plane: ControlPlane, part: str) -> None:
    process = getattr(control_plane, part)
    process.kill()
    assert not process.alive
    process.restart()
    control_plane.wait_ready()
    assert "Running" in vmi(control_plane)


def test_a_namespace_goes_with_all_its_objects(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "namespace", "short-lived")
    # Controllers that have just been started again take a while to give it one, and a Pod needs it.
    account = "/api/v1/namespaces/short-lived/serviceaccounts/default"
    wait_for(lambda: bool(control_plane.get(account)), what="the default ServiceAccount", deadline=READY_DEADLINE_S)
    pod = POD | {"metadata": {"name": "agent-2", "namespace": "short-lived"}}
    pod["spec"] = {**POD["spec"], "serviceAccountName": "default"}  # type: ignore[dict-item]
    control_plane.kubectl("apply", "-f", "-", input=json.dumps(pod))
    control_plane.kubectl("delete", "namespace", "short-lived", f"--timeout={READY_DEADLINE_S:g}s")


def test_programs_come_from_the_folder_that_the_user_names(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etcd").symlink_to(control_plane.bin / "etcd")
    (tmp_path / "kubectl").symlink_to(control_plane.bin / "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    found = binaries.find_programs(binaries.API)
    assert {name for name, path in found.items() if path.parent == tmp_path} == {"etcd", "kubectl"}
    assert set(found) == set(binaries.API)


def test_an_old_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "kube-apiserver"
    old.write_text("#!/bin/sh\necho Kubernetes v1.31.4\n")
    old.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(ToolError, match=r"kube-apiserver, from \$KUBEBUILDER_ASSETS, is Kubernetes v1.31.4; .* 1.37"):
        binaries.find_programs(binaries.API)
