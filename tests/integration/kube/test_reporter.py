# The reporter on a real API server.
import json
import logging
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lab.process import wait_for
from tests.integration.kube.conftest import CRDS
from tests.integration.kube.recorder import synced, watching
from tests.unit.agent.report.statuses import status, transition
from virtwatch_agent.kubernetes.reporter import NodeMonitorReporter
from virtwatch_api.nodemonitor import Pool
from virtwatch_api.nodemonitor_codec import decode_nodemonitor
from virtwatch_kube import paths

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NODE = "report-n1"
PATH = paths.virtwatch("nodemonitors", name=NODE)
BODY = {"apiVersion": paths.VIRTWATCH, "kind": "NodeMonitor", "metadata": {"name": NODE}, "spec": {}}


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def reporter(client, exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    made = NodeMonitorReporter(client=client, node=NODE, tracer=provider.get_tracer("test"))
    yield made
    made.stop()


@pytest.fixture
def node_monitor(client):
    client.create(paths.virtwatch("nodemonitors"), BODY)
    yield lambda: decode_nodemonitor(client.get(PATH))
    client.delete(PATH)


def reported(node_monitor, machines, deadline=60):
    def there():
        found = node_monitor().status
        return found is not None and found.virtual_machines == machines

    wait_for(there, what=f"a report of {machines} VMs", deadline=deadline)


def test_what_is_published_is_what_the_operator_reads(reporter, node_monitor):
    sent = status(transitions=[transition(1, traceparent=TRACEPARENT)], virtual_machines=3)
    reporter.start()
    reporter.publish(sent)
    reported(node_monitor, 3)
    assert node_monitor().status == sent


def test_a_node_where_nothing_happens_is_heard_of_again(client, reporter, node_monitor):
    """An apply that changes nothing leaves no trace on the API server: an idle node would pass for a silent one."""
    reporter.start()
    reporter.publish(status(virtual_machines=3, reported=1_790_000_000.0))
    reported(node_monitor, 3)
    before = client.get(PATH)["metadata"]["resourceVersion"]

    reporter.publish(status(virtual_machines=3, reported=1_790_000_060.0))
    reporter.refresh()

    wait_for(
        lambda: client.get(PATH)["metadata"]["resourceVersion"] != before, what="a trace of the refresh", deadline=30
    )


def test_a_burst_costs_one_write(client, reporter, node_monitor):
    with watching(paths.virtwatch("nodemonitors"), client, fields=f"metadata.name={NODE}") as (watch, recorder):
        synced(watch)
        for machines in range(100):
            reporter.publish(status(virtual_machines=machines))
        reporter.start()
        reported(node_monitor, 99)
        with reporter._wake:  # else it may write what comes first before what follows at once
            reporter.publish(status(virtual_machines=200))
            reporter.publish(status(virtual_machines=201))
        reported(node_monitor, 201)
        recorder.received(f"+{NODE}", f"~{NODE}", f"~{NODE}")


def test_an_acknowledged_transition_leaves_the_status(reporter, node_monitor):
    reporter.start()
    reporter.publish(status(transitions=[transition(1), transition(2)], virtual_machines=1))
    reported(node_monitor, 1)
    reporter.publish(status(transitions=[transition(2)], virtual_machines=2))
    reported(node_monitor, 2)
    assert [item.sequence for item in node_monitor().status.transitions] == [2]


def test_the_operators_part_is_not_touched(client, reporter, node_monitor):
    spec = {**BODY, "spec": {"acknowledged": {"epoch": "e1", "sequence": 5}}}
    client.apply(PATH, spec, manager="virtwatch-operator")
    reporter.start()
    reporter.publish(status(virtual_machines=4))
    reported(node_monitor, 4)
    assert client.get(PATH)["spec"] == spec["spec"]


def test_a_nodemonitor_that_the_operator_makes_later_is_written_then(client, reporter, caplog, exporter, monkeypatch):
    monkeypatch.setattr("virtwatch_agent.kubernetes.reporter.FIRST_START_S", 0.0)
    caplog.set_level(logging.INFO, logger="virtwatch_kube")
    reporter.start()
    reporter.publish(status(transitions=[transition(1, traceparent=TRACEPARENT)], virtual_machines=5))
    wait_for(lambda: len(caplog.records) == 1, what="the line that it is absent", deadline=30)
    client.create(paths.virtwatch("nodemonitors"), BODY)
    reporter.refresh()
    try:
        reported(lambda: decode_nodemonitor(client.get(PATH)), 5)
        wait_for(lambda: len(caplog.records) == 2, what="the line that it is there", deadline=30)
        wait_for(exporter.get_finished_spans, what="the span", deadline=30)
    finally:
        client.delete(PATH)
    (span,) = exporter.get_finished_spans()
    assert span.name == "virtwatch.report"


def test_reports_survive_kill_9_of_the_api_server(cluster, reporter, node_monitor, caplog):
    caplog.set_level(logging.INFO, logger="virtwatch_kube")
    reporter.start()
    reporter.publish(status(virtual_machines=1))
    reported(node_monitor, 1)
    cluster.apiserver.kill()
    reporter.publish(status(virtual_machines=2))
    wait_for(lambda: len(caplog.records) == 1, what="the line that it is lost", deadline=30)
    cluster.apiserver.restart()
    cluster.wait_ready()
    reported(node_monitor, 2)
    wait_for(lambda: len(caplog.records) == 2, what="the line that it is back", deadline=30)


def test_an_api_server_that_is_gone_does_not_hold_up_the_end(cluster, reporter, node_monitor):
    reporter.start()
    reporter.publish(status(virtual_machines=1))
    reported(node_monitor, 1)
    cluster.apiserver.kill()
    reporter.publish(status(virtual_machines=2))
    reporter.stop()
    cluster.apiserver.restart()
    cluster.wait_ready()
    assert node_monitor().status.virtual_machines == 1


@pytest.fixture
def older_kind(cluster):
    """Take from the kind what an older version does not know: lines for people, and what was added after them."""
    at = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties"
    gone = [f"{at}/about", f"{at}/firing/items/properties/alert", f"{at}/transitions/items/properties/pool"]
    gone += [f"{at}/{name}/items/properties/evidence/properties/place" for name in ("transitions", "firing")]
    gone += [f"{at}/applied/items/properties/{name}" for name in ("anomalies", "because")]
    patch = json.dumps([{"op": "remove", "path": path} for path in gone])
    cluster.kubectl("patch", "crd", "nodemonitors.virtwatch.io", "--type=json", f"--patch={patch}")
    wait_for(lambda: not knows_lines(cluster), what="the older kind to be served", deadline=60)
    yield
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(CRDS))
    wait_for(lambda: knows_lines(cluster), what="the newer kind to be served", deadline=60)


def knows_lines(cluster):
    """Tell by which version of the kind the API server judges objects: it follows its CRD a little later."""
    body = {"apiVersion": "virtwatch.io/v1alpha1", "kind": "NodeMonitor", "metadata": {"name": "asked"}}
    arguments = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    tried = cluster.kubectl(*arguments, input=json.dumps({**body, "status": {"about": ["-"]}}), check=False)
    return 'unknown field "status.about"' not in tried.stderr


def test_a_kind_without_what_was_added_last_takes_the_rest(client, reporter, node_monitor, older_kind):
    first = transition(1)
    placed = replace(first.evidence, place="PVC data, StorageClass fast")
    reporter.start()
    reporter.publish(
        status(transitions=[replace(first, evidence=placed, pool=Pool("p-1", "fast"))], virtual_machines=3)
    )
    reported(node_monitor, 3)
    assert "about" not in client.get(PATH)["status"]


def test_a_report_begins_with_lines_for_people(client, reporter, node_monitor):
    reporter.start()
    reporter.publish(status(virtual_machines=4))
    reported(node_monitor, 4)
    assert client.get(PATH)["status"]["about"][0] == "No alert fires."
