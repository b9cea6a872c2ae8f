# The agent as a process, against a real API server and libvirt's built-in test driver.
import signal
import sys
import time
import urllib.error
import urllib.request

import pytest

from lab.controlplane.cluster import ControlPlane
from lab.process import free_port, start, wait_for
from lab.rundir import RunDir, clean
from tests.integration.kube.conftest import CRDS
from tests.otlp_sink import Sink
from tests.unit.agent.kubernetes.test_documents import document
from virtwatch_api.nodemonitor_codec import decode_nodemonitor
from virtwatch_kube import paths
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import NotFound

NODE = "process-n1"
PATH = paths.virtwatch("nodemonitors", name=NODE)
END_S = 5
BODY = {"apiVersion": paths.VIRTWATCH, "kind": "NodeMonitor", "metadata": {"name": NODE}}


@pytest.fixture
def folder():
    made = RunDir.create("tests-agent")
    yield made
    clean(made)


@pytest.fixture
def health_port():
    return free_port()


@pytest.fixture
def agent(cluster, folder, health_port):
    """Return a way to start the agent."""
    started = []

    def begin(**env):
        settings = {
            "KUBECONFIG": str(cluster.kubeconfig),
            "VIRTWATCH_NODE": NODE,
            "POD_NAMESPACE": "default",
            "VIRTWATCH_LIBVIRT_URIS": "test:///default",
            "VIRTWATCH_LIBVIRT_SOCKET": str(folder.path / "no-socket"),
            "VIRTWATCH_STATE_DIR": str(folder.path / "state"),
            "VIRTWATCH_HEALTH_PORT": str(health_port),
        }
        process = start(
            "agent", [sys.executable, "-m", "virtwatch_agent"], run_dir=folder.path, env={**settings, **env}
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.stop()


@pytest.fixture
def cluster_policy(client):
    """Hold a ThresholdSet in force that selects any VM."""
    path = paths.virtwatch("thresholdsets", namespace="default", name="cluster.all")
    client.apply(path, for_any_vm(), manager="test")
    yield
    client.delete(path)


def for_any_vm():
    """Make a ThresholdSet that selects any VM."""
    body = document("all")
    body["metadata"] = {"name": "cluster.all"}
    body["spec"]["policy"] = {"kind": "ClusterMonitorPolicy", "name": "all"}
    del body["spec"]["namespaces"]
    return body


def status(client):
    try:
        return decode_nodemonitor(client.get(PATH)).status
    except NotFound:
        return None


def readiness(port):
    return probe(port, "readyz")


def probe(port, path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code
    except OSError:
        return 0


COST = {
    "process.cpu.time",
    "process.memory.usage",
    "virtwatch.agent.scan.duration",
    "virtwatch.agent.sample.lateness",
    "virtwatch.agent.libvirt.calls",
    "virtwatch.agent.domain.stuck",
    "virtwatch.agent.slowdown",
    "virtwatch.agent.export.series.cut",
}


def test_an_agent_exports_what_it_costs_and_shows_it_to_prometheus_where_asked(agent):
    port = free_port()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with Sink() as sink:
        agent(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.otlp_http,
            OTEL_METRIC_EXPORT_INTERVAL="500",
            VIRTWATCH_METRICS_PORT=str(port),
        )
        sink.wait(lambda sink: {item.message.name for item in sink.metrics} >= COST, 90)
        with opener.open(f"http://127.0.0.1:{port}/metrics") as answer:
            page = answer.read().decode()
    assert "process_cpu_time_seconds_total" in page
    assert "virtwatch_agent_domain_stuck" in page


def test_an_agent_reports_its_vms_and_the_policies_that_it_judges_them_by(client, agent, cluster_policy, health_port):
    process = agent()
    # The operator makes the NodeMonitor when it sees the node: later than the agent starts.
    wait_for(lambda: "watches node" in process.tail(), what="the agent to start", deadline=90, process=process)
    time.sleep(2)  # an operator takes a moment; that is no reason to warn
    assert f"NodeMonitor {NODE} is lost" not in process.log.read_text(), process.log.read_text()
    client.create(paths.virtwatch("nodemonitors"), BODY)
    try:
        wait_for(
            lambda: (
                (found := status(client)) is not None
                and found.virtual_machines == 1
                and [(item.policy.name, item.virtual_machines) for item in found.applied] == [("all", 1)]
            ),
            what="a report of the test driver's VM",
            deadline=60,
            process=process,
        )
        wait_for(lambda: readiness(health_port) == 200, what="readiness", deadline=90, process=process)
    finally:
        client.delete(PATH)


def test_an_agent_ends_in_order_when_it_is_told_to(agent, health_port):
    process = agent()
    wait_for(lambda: readiness(health_port) == 200, what="readiness", deadline=90, process=process)
    process.signal(signal.SIGTERM)
    wait_for(lambda: not process.alive, what="the agent to end", deadline=END_S)
    assert process._child.wait(1) == 0


def test_an_agent_ends_in_order_while_the_api_server_is_gone(cluster, agent, health_port):
    process = agent()
    wait_for(lambda: readiness(health_port) == 200, what="readiness", deadline=90, process=process)
    cluster.apiserver.kill()
    try:
        wait_for(lambda: process.log.read_text().count("is lost") >= 1, what="a lost watch", deadline=90)
        process.signal(signal.SIGTERM)
        wait_for(lambda: not process.alive, what="the agent to end", deadline=END_S)
        assert process._child.wait(1) == 0
    finally:
        cluster.apiserver.restart()
        cluster.wait_ready()


def test_an_agent_judges_by_the_last_known_policies_without_an_api_server(cluster, agent, cluster_policy, health_port):
    first = agent()
    wait_for(lambda: readiness(health_port) == 200, what="readiness", deadline=90, process=first)
    first.stop()
    cluster.apiserver.kill()
    try:
        second = agent()
        wait_for(lambda: readiness(health_port) == 200, what="readiness", deadline=90, process=second)
    finally:
        cluster.apiserver.restart()
        cluster.wait_ready()


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"VIRTWATCH_HEALTH_PORT": "none", "VIRTWATCH_STATE_DIR": "here"}, "VIRTWATCH_STATE_DIR: must be an absolute"),
        ({"KUBECONFIG": "/nonexistent"}, "set KUBECONFIG"),
    ],
)
def test_an_agent_that_cannot_start_says_why_and_ends(agent, env, says):
    process = agent(**env)
    wait_for(lambda: not process.alive, what="the agent to end", deadline=60)
    assert process._child.wait(1) == 2
    assert says in process.log.read_text()


@pytest.fixture
def bare(folder):
    """Run a control plane that has never heard of virtwatch."""
    started = ControlPlane(folder)
    started.start()
    yield started
    started.stop()


def test_kinds_that_are_missing_at_the_start_are_waited_for(bare, agent, health_port):
    process = agent(KUBECONFIG=str(bare.kubeconfig))
    wait_for(
        lambda: "apply virtwatch's crds/" in process.log.read_text(),
        what="the agent to say what it misses, and what to do",
        deadline=90,
        process=process,
    )
    assert probe(health_port, "healthz") == 200
    assert readiness(health_port) == 503

    bare.apply_crds(CRDS)
    client = KubeClient.from_environment(str(bare.kubeconfig))
    client.create(paths.virtwatch("nodemonitors"), BODY)
    client.apply(
        paths.virtwatch("thresholdsets", namespace="default", name="cluster.all"), for_any_vm(), manager="test"
    )

    wait_for(
        lambda: (found := status(client)) is not None and [item.policy.name for item in found.applied] == ["all"],
        what="a report of the policy that came after its kind",
        deadline=60,
        process=process,
    )
    wait_for(lambda: readiness(health_port) == 200, what="readiness", deadline=90, process=process)
    assert process.log.read_text().count("apply virtwatch's crds/") == 1, process.log.read_text()
    assert "Traceback" not in process.log.read_text()
