"""Patterns, from the guests' libvirt to the policy's status, with an agent that is killed in between."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from lab.installed.system import System
from lab.installed.virtualmachine import VirtualMachine
from tests.integration.system.watched import Watched

OFTEN = {
    "name": "often",
    "severity": "Critical",
    "pattern": {"count": {"type": "vm.paused", "atLeast": 3}, "within": "10m"},
}
TOGETHER = {
    "name": "together",
    "severity": "Critical",
    "pattern": {"count": {"type": "vm.paused", "atLeast": 2, "by": "Node", "distinct": True}, "within": "1m"},
}


IN_ALL = {
    "name": "in-all",
    "severity": "Critical",
    "pattern": {"count": {"type": "vm.paused", "atLeast": 2, "by": "Namespace", "distinct": True}, "within": "1m"},
}


@pytest.fixture(scope="module")
def second(system: System) -> Iterator[VirtualMachine]:
    made = system.add("web-2")
    made.guest.resume()
    yield made
    made.guest.resume()


def active(system: System, policy: str) -> list[tuple[str, str]]:
    found = system.policy(policy).get("status", {}).get("activeAlerts", [])
    return [(item["rule"], item["target"]) for item in found]


def waits_for(system: System, rule: str) -> int:
    """Return how many events of a pattern are on disk."""
    with closing(sqlite3.connect(system.state_dir / "learned.db")) as database:
        query = "SELECT json_array_length(document, '$.events') FROM learned WHERE rule = ?"
        return sum(count or 0 for (count,) in database.execute(query, (rule,)))


def test_what_a_pattern_has_counted_outlasts_a_kill_of_the_agent_and_an_edit(watched: Watched) -> None:
    system = watched.system
    system.put_in_force("often", OFTEN)
    for _ in range(2):
        watched.pause()
        watched.resume()
    system.wait(lambda: waits_for(system, "often") == 2, what="two events to be on disk")
    assert active(system, "often") == []

    system.put_in_force("often", {**OFTEN, "runbookURL": "https://wiki.example.com/often"})
    system.agent.kill()
    system.agent.restart()
    system.wait(lambda: system.condition("often", "Ready") == "True", what="the agent to judge again")
    watched.wait_virtual_machines(len(system.machines))
    watched.pause()

    system.wait(lambda: active(system, "often") == [("often", "shop/web-1")], what="the third pause to be told")


def test_what_happens_to_several_vms_of_a_node_is_one_alert_about_the_node(
    watched: Watched, second: VirtualMachine
) -> None:
    system = watched.system
    system.put_in_force("together", TOGETHER)
    watched.wait_virtual_machines(len(system.machines))
    watched.pause()
    watched.resume()
    watched.pause()
    second.guest.pause()

    system.wait(lambda: active(system, "together") == [("together", "node-1")], what="the alert about the node")
    (alert,) = (item for item in system.status()["firing"] if item["rule"] == "together")
    assert alert["evidence"]["text"].endswith("on 2 VMs: shop/web-1, shop/web-2")


def test_what_happens_in_a_namespace_is_one_alert_that_the_operator_judges(
    watched: Watched, second: VirtualMachine
) -> None:
    system = watched.system
    if second.guest.state.state == "paused":
        second.guest.resume()
    system.put_in_force("in-all", IN_ALL)
    watched.wait_virtual_machines(len(system.machines))
    watched.pause()
    second.guest.pause()

    system.wait(lambda: active(system, "in-all") == [("in-all", system.namespace)], what="the alert")
    assert "in-all" not in [item["rule"] for item in system.status()["firing"]]
    # Who acknowledged them knows: that they leave the agent's list is no news that it writes for.
    system.wait(
        lambda: system.monitor()["spec"]["acknowledged"]["sequence"] == system.status()["sequence"],
        what="what was counted to be acknowledged",
    )
