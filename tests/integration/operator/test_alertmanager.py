"""An Alertmanager hears of what fires, is told again before it forgets, and of what is over; though the leader dies."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from lab.process import Process, free_port, start, wait_for
from tests.integration.operator.channels import make_channel, status, wait_condition
from tests.integration.operator.place import Place, eventually
from tools.machine import ensure_packages
from virtwatch_api.alert import Action
from virtwatch_api.policy import Severity

CONFIG = "route: {receiver: none}\nreceivers: [{name: none}]\n"


class Alertmanager:
    def __init__(self, process: Process, url: str):
        self.process, self.url = process, url

    def alerts(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=30) as answer:
            return sorted(json.load(answer), key=lambda item: item["labels"]["alertname"])

    def ready(self) -> bool:
        try:
            return isinstance(self.alerts(), list)
        except OSError:
            return False


@pytest.fixture
def alertmanager(place: Place) -> Iterator[Alertmanager]:
    ensure_packages(["prometheus-alertmanager"])
    folder = place.cluster.folder.parent / f"{place.name}-alertmanager"
    folder.mkdir()
    (folder / "config.yml").write_text(CONFIG)
    port = free_port()
    command = [
        "prometheus-alertmanager",
        f"--config.file={folder / 'config.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    process = start(f"{place.name}-alertmanager", command, run_dir=place.cluster.folder.parent)
    made = Alertmanager(process, f"http://127.0.0.1:{port}")
    try:
        wait_for(made.ready, what="Alertmanager", deadline=60, process=process)
        yield made
    finally:
        process.kill()


def channel(place: Place, alertmanager: Alertmanager) -> str:
    return make_channel(
        place, "am", namespace=place.system, type="Alertmanager", alertmanager={"url": alertmanager.url}
    )


def test_an_alert_fires_there_changes_and_ends_though_the_leader_dies(place: Place, alertmanager: Alertmanager):
    first = place.operator(VIRTWATCH_TRACE_URL="https://jaeger.example.com/trace/{trace}")
    path = channel(place, alertmanager)
    key = place.cluster_policy(notify=[{"channel": "am"}])
    agent = place.agent()
    fired = agent.happen(key, severity=Severity.WARNING)
    agent.publish()
    eventually(lambda: len(alertmanager.alerts()) == 1, what="the alert")
    (alert,) = alertmanager.alerts()
    assert {name: alert["labels"][name] for name in ("alertname", "severity", "policy", "node", "alert_id")} == {
        "alertname": "cpu-starved",
        "severity": "warning",
        "policy": key.name,
        "node": agent.node,
        "alert_id": fired.alert.id,
    }
    assert alert["generatorURL"] == f"https://jaeger.example.com/trace/{fired.traceparent.split('-')[1]}"
    assert "is 0.12, above 0.1" in alert["annotations"]["description"]
    wait_condition(place, path, "Ready", "Delivered")

    first.kill()
    agent.happen(key, Action.ESCALATED, severity=Severity.CRITICAL)
    agent.publish()
    place.operator()
    eventually(
        lambda: [item["labels"]["severity"] for item in alertmanager.alerts()] == ["critical"],
        what="the critical alert alone",
    )
    agent.happen(key, Action.RESOLVED, severity=None)
    agent.publish()
    eventually(lambda: alertmanager.alerts() == [], what="the end")
    eventually(lambda: status(place, path)["firing"] == 0, what="nothing to fire")


def test_an_alertmanager_that_comes_late_hears_of_what_fires(place: Place, alertmanager: Alertmanager):
    place.operator()
    alertmanager.process.kill()
    path = channel(place, alertmanager)
    key = place.cluster_policy(notify=[{"channel": "am"}])
    agent = place.agent()
    agent.happen(key)
    agent.publish()
    said = wait_condition(place, path, "Ready", "DeliveryFailed")
    assert "the connection was refused" in said
    alertmanager.process.restart()
    eventually(lambda: alertmanager.ready() and len(alertmanager.alerts()) == 1, what="the alert")
    wait_condition(place, path, "Ready", "Delivered")
