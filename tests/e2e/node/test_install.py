"""virtwatch installed, upgraded and uninstalled by kubectl on a real kubelet's node with a plain host's libvirtd."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.guests.host import HostLibvirt
from lab.installed.events import EventLog, Told
from lab.node.cluster import Cluster
from lab.node.virtwatch import NAMESPACE, install, remove, wait_ready
from lab.rundir import RunDir
from tests.e2e.node.site import DEADLINE_S, Site
from tests.integration.leftovers import leftovers
from tests.otlp_sink import Sink
from tools.checkout import CHECKOUT
from tools.dist import dist

pytestmark = pytest.mark.timeout(900)
DEFAULTS = ("-f", str(CHECKOUT / "manifests" / "examples" / "cluster-defaults.yaml"))
OVERLAYS = CHECKOUT / "manifests" / "overlays"
LAB = ("-k", str(OVERLAYS / "lab"))
LIBVIRT = ("-k", str(OVERLAYS / "libvirt"))
ONE_FILE = ("-f", "virtwatch.yaml")
LIBVIRT_LABEL = "virtwatch.io/libvirt"
PAUSED = {
    "name": "paused",
    "severity": "Critical",
    "event": {"type": "vm.paused", "resolveOn": ["vm.resumed", "vm.stopped"]},
}
CRASHED = {"name": "crashed", "severity": "Critical", "event": {"type": "vm.crashed", "resolveOn": ["vm.started"]}}
STARTED = {"name": "started", "severity": "Warning", "event": {"type": "vm.started", "resolveOn": ["vm.stopped"]}}
# The one is asked of libvirt, the other read in the node's /proc.
BALLOON = {"name": "balloon", "threshold": {"signal": "vm.memory.balloon", "critical": {"above": "1"}}}
RESIDENT = {"name": "resident", "threshold": {"signal": "vm.memory.rss", "critical": {"above": "1"}}}


@pytest.fixture(scope="module")
def site(cluster: Cluster, run: RunDir) -> Iterator[Site]:
    """Run a node whose libvirtd has one VM; virtwatch is not installed, but ready to be."""
    host = HostLibvirt(run)
    host.socket.parent.mkdir(parents=True)
    node = cluster.add_node("libvirt-node", mounts={"/run/libvirt": host.socket.parent})
    host.start(linux=False, inside=node.namespace)
    guest = host.add("plain-1", linux=False)
    guest.resume()
    yield Site(cluster, node, guest)
    host.stop()
    node.stop()
    cluster.control_plane.kubectl("delete", "node", node.name)


@pytest.fixture
def source(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Say what virtwatch is installed from: what the test names, else the lab's overlay."""
    named: tuple[str, str] = getattr(request, "param", LAB)
    if named == ONE_FILE:
        dist(file=tmp_path / ONE_FILE[1])
        return "-f", str(tmp_path / ONE_FILE[1])
    return named


@pytest.fixture
def installed(site: Site, source: tuple[str, str]) -> Iterator[Site]:
    """Install virtwatch; afterwards nothing of it is left."""
    install(site.cluster, otlp_port=None, source=source)
    yield site
    if leftovers(site.cluster.control_plane):
        remove(site.cluster, source=source)


def test_an_alert_outlives_a_restart_of_every_pod_and_an_upgrade_and_is_said_once(installed: Site) -> None:
    # Which nodes it chooses, an agent must know before the API server answers.
    here = {"nodeSelector": {"matchLabels": {"kubernetes.io/hostname": installed.node.name}}}
    installed.judge_by("-f", "-", name="paused", input=json.dumps(_policy("paused", PAUSED, target=here)))
    with EventLog(installed.cluster.control_plane.kubeconfig, "default") as log:
        told = lambda: [event for event in log.told() if event.reason.startswith("Alert")]  # noqa: E731
        installed.guest.pause()
        # One on the Node, for a VM without an object, and one on the policy.
        log.wait(lambda: len(told()) == 2, what="the alert's Events", deadline=DEADLINE_S)
        before = _standing(installed)

        installed.renew(("rollout", "restart", "deployment,daemonset"))
        assert _standing(installed) == before
        installed.upgrade("upgraded")
        assert _standing(installed) == before

        installed.guest.resume()
        log.wait(lambda: len(told()) == 4, what="the Events of its end", deadline=DEADLINE_S)
        assert [event.reason for event in told()] == [
            "AlertCritical",
            "AlertCritical",
            "AlertResolved",
            "AlertResolved",
        ]
        assert {event.count for event in told()} == {1}
        # Nothing was said in between, not even in another epoch: an Event's name holds the transition's number.
        [fired], [resolved] = _transitions(told()[:2]), _transitions(told()[2:])
        assert resolved == (*fired[:-1], fired[-1] + 1)
    installed.wait(lambda: _tags(installed) == {"upgraded"}, what="the pods of the first image to be gone")


def test_a_vm_that_crashes_while_its_node_has_no_agent_is_told_as_crashed_until_it_starts(installed: Site) -> None:
    installed.judge_by("-f", "-", name="ends", input=json.dumps(_policy("ends", CRASHED, STARTED)))
    with EventLog(installed.cluster.control_plane.kubeconfig, "default") as log:
        begun, node = time.time(), f"Node {installed.node.name}"
        on_node = lambda: [item for item in log.told(about=node, since=begun) if item.reason.startswith("Alert")]  # noqa: E731
        with _without_agent(installed):
            installed.guest.kill_qemu()
        log.wait(lambda: len(on_node()) == 1, what="the Event of the crash", deadline=DEADLINE_S)
        with _without_agent(installed):
            installed.guest.start()
            installed.guest.resume()
        log.wait(lambda: len(on_node()) == 3, what="the Events of the start", deadline=DEADLINE_S)

        said = [(event.reason, event.count) for event in on_node()]
        assert (said[0], sorted(said[1:])) == (("AlertCritical", 1), [("AlertResolved", 1), ("AlertWarning", 1)])
        assert {alert["rule"] for alert in installed.status()["firing"]} == {"started"}


def test_a_token_in_the_secret_reaches_the_backend_from_agent_and_operator(installed: Site) -> None:
    installed.wait(lambda: "agent" in installed.status(), what="the agent's first report")
    with Sink() as sink:
        address = installed.cluster.network.publish(int(sink.otlp_http.rpartition(":")[2]))
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
        _create(installed, "configmap", **settings)
        _create(installed, "secret", "generic", OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20TOKEN")
        installed.renew(("rollout", "restart", "deployment,daemonset"))

        sent = {(service, "Bearer TOKEN") for service in ("virtwatch-agent", "virtwatch-operator")}
        sink.wait(lambda sink: sent <= sink.authorized, DEADLINE_S)


def _create(site: Site, *kind: str, **literals: str) -> None:
    values = [f"--from-literal={name}={value}" for name, value in literals.items()]
    site.kubectl("create", *kind, "virtwatch-telemetry", "--namespace", NAMESPACE, *values)


@contextmanager
def _without_agent(site: Site) -> Iterator[None]:
    """Let no agent run on the node meanwhile."""
    before = site.status()["agent"]["started"]
    patch = ("patch", "daemonset/virtwatch-agent", "--namespace", NAMESPACE, "--type=json", "-p")
    nowhere = "/spec/template/spec/nodeSelector/nowhere"
    site.kubectl(*patch, json.dumps([{"op": "add", "path": nowhere, "value": "true"}]))
    pods = ("get", "pods", "--namespace", NAMESPACE, "-l", "app.kubernetes.io/name=virtwatch-agent", "-o", "name")
    site.wait(lambda: not site.kubectl(*pods), what="the agent's pod to be gone")
    yield
    site.kubectl(*patch, json.dumps([{"op": "remove", "path": nowhere}]))
    wait_ready(site.cluster)
    site.wait(lambda: site.status()["agent"]["started"] != before, what="the new agent to report")


def _policy(name: str, *rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "ClusterMonitorPolicy",
        "metadata": {"name": name},
        "spec": {"collection": {"interval": "1s"}, "rules": list(rules), **spec},
    }


def _standing(site: Site) -> object:
    """Return what must not change while an alert goes on: the journal's identity, the alert's, and since when."""
    status = site.status()
    [alert] = status["firing"]
    return status["epoch"], status["sequence"], alert["id"], alert["severity"], alert["since"]


def _tags(site: Site) -> set[str]:
    said = site.kubectl("get", "pods", "--namespace", NAMESPACE, "-o", "jsonpath={.items[*].spec.containers[*].image}")
    return {image.rpartition(":")[2] for image in said.split()}


def _transitions(told: list[Told]) -> set[tuple[str, str, int]]:
    """Return alert, epoch and number, of which the Events' names are made."""
    names = [event.name.split(".") for event in told]
    return {(alert, epoch, int(number)) for _, alert, epoch, number, _ in names}


@pytest.mark.parametrize("source", [ONE_FILE], indirect=True, ids=["one file"])
def test_it_is_gone_without_a_trace_though_its_operator_went_first(installed: Site, source: tuple[str, str]) -> None:
    installed.judge_by(*DEFAULTS, name="cluster-defaults")
    assert installed.status()["virtualMachines"] == 1
    epoch = installed.status()["epoch"]
    installed.kubectl("delete", "deployment/virtwatch-operator", "--namespace", NAMESPACE, "--wait")
    for kind in ("clustermonitorpolicies", "thresholdsets", "nodemonitors"):
        assert installed.kubectl("get", kind, "--all-namespaces", "-o", "name")

    remove(installed.cluster, source=source)

    assert leftovers(installed.cluster.control_plane) == []
    # The journal stays on the node's disk, and the next agent goes on with it.
    install(installed.cluster, otlp_port=None, source=source)
    installed.wait(lambda: installed.status().get("epoch") == epoch, what="the same journal to go on")


def test_it_is_gone_without_a_trace_while_all_of_it_runs(installed: Site) -> None:
    installed.judge_by(*DEFAULTS, name="cluster-defaults")

    remove(installed.cluster)

    assert leftovers(installed.cluster.control_plane) == []


@pytest.mark.parametrize("source", [LIBVIRT], indirect=True, ids=["libvirt"])
def test_without_kubevirt_an_agent_watches_where_it_is_asked_to_and_needs_no_capability(installed: Site) -> None:
    daemonset = ("get", "daemonset/virtwatch-agent", "--namespace", NAMESPACE, "-o")
    assert installed.kubectl(*daemonset, "jsonpath={.status.desiredNumberScheduled}") == "0"

    installed.kubectl("label", "node", installed.node.name, f"{LIBVIRT_LABEL}=true")
    try:
        installed.judge_by("-f", "-", name="memory", input=json.dumps(_policy("memory", BALLOON, RESIDENT)))
        fired = lambda: {alert["rule"] for alert in installed.status().get("firing", [])}  # noqa: E731
        installed.wait(lambda: fired() == {"balloon", "resident"}, what="the VM's memory to be measured in both ways")
        conditions = {item["type"]: item["status"] for item in installed.status()["conditions"]}
        pid = installed.node.pods_process("virtwatch-agent")
        process = Path(f"/proc/{pid}")

        assert installed.status()["virtualMachines"] == 1
        assert conditions["Collecting"] == "True"
        assert "CapEff:\t0000000000000000" in (process / "status").read_text()
        assert " /pods " not in (process / "mountinfo").read_text()
    finally:
        installed.kubectl("label", "node", installed.node.name, f"{LIBVIRT_LABEL}-")
