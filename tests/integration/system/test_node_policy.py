"""A policy about the node itself: from what the kernel says, by the API server, to Events and status."""

from collections.abc import Iterator
from typing import Any

import pytest

from lab.installed.events import EventLog
from lab.installed.system import System
from virtwatch_kube.paths import virtwatch

POLICY = "node-memory"
# Less than all of a node's memory is available at any time.
RULE = {
    "name": "low-memory",
    "threshold": {"signal": "node.memory.available.ratio", "warning": {"below": "99%"}, "critical": {"below": "1%"}},
}
ANNOTATION = f"virtwatch.io/rule.{RULE['name']}"
ABOUT_NODE, ABOUT_POLICY = "Node node-1", f"ClusterMonitorPolicy {POLICY}"


@pytest.fixture
def told(system: System) -> Iterator[EventLog]:
    """Hear the Events about what has no namespace; after the test nothing is left of the policy."""
    with EventLog(system.control_plane.kubeconfig, "default") as log:
        yield log
    system.control_plane.kubectl("annotate", "node", system.node, f"{ANNOTATION}-")
    system.control_plane.kubectl("delete", "clustermonitorpolicy", POLICY)
    system.wait(lambda: not firing(system), what="no alert about the node to fire any more")


def policy(system: System) -> dict[str, Any]:
    return system.control_plane.get(virtwatch("clustermonitorpolicies", name=POLICY))


def firing(system: System) -> list[dict[str, Any]]:
    return [item for item in system.status().get("firing", []) if item["rule"] == RULE["name"]]


def annotate(system: System, text: str) -> None:
    """Annotate the Node and return when the operator has copied that to where its agent reads it."""
    system.control_plane.kubectl("annotate", "--overwrite", "node", system.node, f"{ANNOTATION}={text}")
    system.wait(
        lambda: system.monitor()["metadata"].get("annotations", {}).get(ANNOTATION) == text,
        what=f"the annotation {text} on the NodeMonitor",
    )


def wait_told(log: EventLog, *reasons: str) -> None:
    """Return when exactly these Events have been told about the node, and about the policy."""

    def holds() -> bool:
        return all(
            [item.reason for item in log.told(about=about)] == list(reasons) for about in (ABOUT_NODE, ABOUT_POLICY)
        )

    log.wait(holds, what=f"the Events {', '.join(reasons)} about node and policy", deadline=60.0)


def wait_counted(system: System, **counts: int) -> None:
    def holds() -> bool:
        alerts = policy(system).get("status", {}).get("alerts", {})
        return all(alerts.get(name) == count for name, count in counts.items())

    system.wait(holds, what=f"the policy's status to count {counts}")


def test_a_policy_about_the_node_is_told_counted_and_overridden_there(system: System, told: EventLog) -> None:
    system.apply(
        {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": "ClusterMonitorPolicy",
            "metadata": {"name": POLICY},
            "spec": {"target": {"kind": "Node"}, "collection": {"interval": "1s"}, "rules": [RULE]},
        }
    )
    wait_told(told, "AlertWarning")
    wait_counted(system, warning=1, critical=0)
    (alert,) = policy(system)["status"]["activeAlerts"]
    assert (alert["rule"], alert["severity"], alert["target"], alert["node"]) == (
        RULE["name"],
        "Warning",
        system.node,
        system.node,
    )
    assert "AlertWarning" in system.control_plane.kubectl("describe", "node", system.node).stdout

    note = told.told(about=ABOUT_NODE)[0].note
    assert note.startswith("Warning: rule low-memory fires for node node-1: node.memory.available.ratio is ")

    annotate(system, "off")
    wait_told(told, "AlertWarning", "AlertResolved")
    wait_counted(system, warning=0, critical=0)

    annotate(system, "critical=98%")
    wait_told(told, "AlertWarning", "AlertResolved", "AlertCritical")
    wait_counted(system, warning=0, critical=1)
    (held,) = firing(system)
    assert held["evidence"]["text"].endswith("below 98 %")

    annotate(system, "warning=2%")
    wait_told(told, "AlertWarning", "AlertResolved", "AlertCritical", "AlertResolved")
    wait_counted(system, warning=0, critical=0)
