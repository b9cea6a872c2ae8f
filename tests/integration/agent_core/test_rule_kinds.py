"""The agent judges every kind of rule that this version accepts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import Agent, policy
from virtwatch_api.support import rule_kinds

BOTH = {
    "name": "both",
    "severity": "Critical",
    "condition": {
        "allOf": [
            {"signal": "vm.memory.rss", "above": 100},
            {"anyOf": [{"signal": "vm.memory.rss", "below": 1000}]},
        ]
    },
}
LOOP = {
    "name": "loop",
    "severity": "Critical",
    "pattern": {"count": {"type": "vm.crashed", "where": {"reason": "panicked"}, "atLeast": 3}, "within": "10m"},
}
STUCK = {
    "name": "stuck",
    "severity": "Warning",
    "pattern": {"sequence": [{"type": "vm.paused"}, {"absent": ["vm.resumed"]}], "within": "1s"},
}
ODD = {"name": "odd", "severity": "Warning", "anomaly": {"signals": ["vm.memory.rss"]}}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    started = Agent(tmp_path)
    yield started
    started.core.stop()


def test_all_kinds_are_accepted():
    assert rule_kinds() == {"threshold", "condition", "event", "pattern", "anomaly"}


def test_a_condition_fires_when_it_holds(agent: Agent):
    agent.judge_by(policy(BOTH)).appear().see(50, 2000, 150)

    status = agent.until(lambda status: bool(status.firing))

    assert [item.alert.rule for item in status.transitions] == ["both"]


def test_a_pattern_counts_events(agent: Agent):
    agent.judge_by(policy(LOOP)).appear()
    for reason in ("panicked", "crashloaded", "panicked"):
        agent.hear("vm.crashed", reason=reason)
    agent.hear("vm.crashed", reason="panicked")

    status = agent.until(lambda status: bool(status.firing))

    assert [item.alert.rule for item in status.firing] == ["loop"]
    assert status.firing[0].evidence.count == 3


def test_a_pattern_notices_what_does_not_come(agent: Agent):
    agent.judge_by(policy(STUCK)).appear().hear("vm.paused", reason="user")

    status = agent.until(lambda status: bool(status.firing))

    assert [item.alert.rule for item in status.firing] == ["stuck"]


def test_an_anomaly_is_silent_until_it_has_learned(agent: Agent):
    agent.judge_by(policy(ODD)).appear().see(100, 101, 5000)

    status = agent.until(lambda status: any(item.virtual_machines for item in status.applied))

    assert status.firing == ()
    assert [(item.rejected, item.warming_up) for item in status.applied] == [("", 1)]
