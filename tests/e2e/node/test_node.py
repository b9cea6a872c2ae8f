"""A real kubelet's node: what its pods get, and what each of its parts' ends does to them."""

import base64
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from lab.controlplane.cluster import ControlPlane
from lab.node.cluster import Cluster
from lab.node.network import Network
from lab.node.node import Node
from lab.node.small import BUSYBOX
from lab.process import wait_for
from lab.rundir import RunDir, clean, processes
from tests.machine import kernel_settings, on_the_machine, wait_as_before
from tools.checkout import CHECKOUT

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
ACCESS = {
    "runAsUser": 0,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
DEADLINE_S = 180.0
# A node that starts, pods that come back: each takes a while where much else runs.
pytestmark = pytest.mark.timeout(900)
# Makes a cluster with a node and a pod on it, says what it made and waits to be killed.
OWNER = """
import time
from lab.node.small import busybox_image
from lab.node.cluster import Cluster
from lab.rundir import RunDir
from tests.e2e.node.test_node import Pod
run = RunDir.create("node test")
cluster = Cluster(run)
cluster.start()
cluster.add_node("node-1").import_image(busybox_image())
Pod(cluster.control_plane).wait_ready()
print(cluster.network.bridge, run.path, flush=True)
time.sleep(600)
"""


class Pod:
    """A busybox that sleeps, in the namespace `default`."""

    def __init__(self, control_plane: ControlPlane, **container: Any) -> None:
        self.name = f"probe-{uuid.uuid4().hex[:6]}"
        self._kubectl = control_plane.kubectl
        spec = {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "probe",
                    "image": BUSYBOX,
                    "imagePullPolicy": "Never",
                    "command": ["/bin/sleep", "100000"],
                    **container,
                }
            ],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": spec}
        self._kubectl("apply", "-f", "-", input=json.dumps(body))

    def wait_ready(self) -> "Pod":
        self._kubectl("wait", "--for=condition=Ready", f"--timeout={DEADLINE_S:g}s", f"pod/{self.name}")
        return self

    def run(self, *command: str) -> str:
        return self._kubectl("exec", self.name, "--", *command).stdout

    def answers(self) -> bool:
        return self._kubectl("exec", self.name, "--", "id", check=False).returncode == 0

    def described(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads(self._kubectl("get", "pod", self.name, "-o", "json").stdout)
        return described

    def container_id(self) -> str:
        return str(self.described()["status"]["containerStatuses"][0].get("containerID", ""))

    def delete(self) -> None:
        self._kubectl("delete", "pod", self.name, "--wait=true", "--timeout=60s")


@pytest.fixture
def pod(cluster: Cluster, node: Node) -> Any:
    made = Pod(cluster.control_plane, securityContext=ACCESS).wait_ready()
    yield made
    made.delete()


def test_a_pods_token_names_its_node(pod: Pod, node: Node) -> None:
    payload = pod.run("cat", TOKEN).split(".")[1]

    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))["kubernetes.io"]

    assert claims["node"]["name"] == node.name
    assert claims["pod"]["name"] == pod.name


def test_a_container_holds_the_capabilities_that_it_was_given_and_no_other(pod: Pod) -> None:
    status = dict(line.split(":", 1) for line in pod.run("cat", "/proc/self/status").splitlines())

    assert int(status["CapEff"], 16) == 1 << 1  # CAP_DAC_OVERRIDE
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"


def test_a_pod_reaches_the_api_server_at_the_address_that_it_is_told(pod: Pod) -> None:
    said = pod.run(
        "sh", "-c", 'nc -w 5 "$KUBERNETES_SERVICE_HOST" "$KUBERNETES_SERVICE_PORT" < /dev/null && echo reached'
    )

    assert said.strip() == "reached"


def test_a_pods_files_are_the_nodes_own(pod: Pod, node: Node) -> None:
    assert (node.pods_dir / pod.described()["metadata"]["uid"]).is_dir()
    assert not Path("/var/lib/kubelet/pods", pod.described()["metadata"]["uid"]).exists()


def test_what_a_node_sets_of_the_kernel_is_its_own(pod: Pod, node: Node, kernel_before: dict[str, str]) -> None:
    seen = subprocess.run(
        node.namespace.enter("sysctl", *kernel_before), capture_output=True, text=True, check=True
    ).stdout

    assert {"vm.overcommit_memory = 1", "kernel.panic = 10", "kernel.panic_on_oops = 1"} <= set(seen.splitlines())
    assert kernel_settings() == kernel_before


def test_containers_outlive_a_killed_kubelet_and_containerd(pod: Pod, node: Node) -> None:
    before = pod.container_id()

    node.kubelet.kill()
    node.containerd.kill()
    assert not node.kubelet.alive
    node.containerd.start()
    node.kubelet.start()
    node.wait_ready()

    wait_for(pod.answers, what=f"{pod.name} to be the new kubelet's", deadline=DEADLINE_S)
    assert pod.container_id() == before


def test_a_stopped_kubelet_ends_by_itself(node: Node) -> None:
    assert node.kubelet.stop()
    node.kubelet.start()
    node.wait_ready()


def test_pods_come_back_after_a_power_loss_of_their_node(pod: Pod, node: Node) -> None:
    before = pod.container_id()

    node.lose_power()
    node.start()

    wait_for(lambda: pod.container_id() not in ("", before), what="a new container", deadline=DEADLINE_S)
    wait_for(pod.answers, what="the new container to run commands", deadline=DEADLINE_S)


def test_a_second_node_runs_beside_the_first(cluster: Cluster, node: Node) -> None:
    second = cluster.add_node("node-2")

    assert second.pods_dir != node.pods_dir
    second.stop()
    cluster.control_plane.kubectl("delete", "node", second.name)


def test_nothing_of_a_killed_run_stays_on_the_machine() -> None:
    before = on_the_machine()
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        bridge, path = owner.stdout.readline().split()
        owner.kill()
    run = RunDir(Path(path))
    # Its pod goes on: with a link and with rules.
    made = on_the_machine() - before
    assert any(bridge in item for item in made)
    assert any(run.name in item for item in made)
    assert {item.split()[0] for item in made} >= {"link", "rule", "control"}

    clean(run)

    wait_as_before(before)
    assert processes(run) == []


def test_two_runs_take_different_networks(cluster: Cluster, run: RunDir) -> None:
    other = RunDir.create("other network")
    try:
        network = Network.make(other, api_port=1)
        assert not network.pods.overlaps(cluster.network.pods)
    finally:
        clean(other)
