"""The node as a target, from samples to a report that outlasts a restart."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.process import wait_for
from tests.integration.agent_core.scripted import Agent, policy
from virtwatch_agent.observations import NodeChanged, Sample
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.nodemonitor import NodeStatus
from virtwatch_api.targets import node_ref

FULL = {
    "name": "full",
    "threshold": {"signal": "node.memory.available.ratio", "warning": {"below": "20%"}, "critical": {"below": "5%"}},
}
NODE = {"target": {"kind": "Node"}}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    started = Agent(tmp_path)
    yield started
    started.core.stop()


def sees(agent: Agent, available: float) -> None:
    values = {("node.memory.available", ""): available, ("node.memory.total", ""): 100.0}
    now = time.time()
    agent.say(Sample(node_ref("n1"), Source.NODE, "node", 0.0, now, time.monotonic(), values))


def firing(status: NodeStatus) -> list[tuple[str, str]]:
    return [(item.alert.rule, item.severity) for item in status.firing]


def test_a_rule_on_the_node_fires_and_outlasts_a_restart(agent: Agent) -> None:
    agent.judge_by(policy(FULL, **NODE))
    agent.until(lambda status: status.applied != ())
    sees(agent, 10.0)
    status = agent.until(lambda status: bool(status.firing))
    assert firing(status) == [("full", "Warning")]
    assert status.firing[0].subject.described == "node n1"
    assert agent.outside.plans[node_ref("n1")][Source.NODE] == 1.0

    agent.restart()
    agent.judge_by(policy(FULL, **NODE))
    assert firing(agent.until(lambda status: bool(status.firing))) == [("full", "Warning")]
    sees(agent, 50.0)
    agent.until(lambda status: not status.firing)
    assert status.virtual_machines == 0


def test_the_node_is_read_and_exported_though_no_rule_asks(agent: Agent) -> None:
    agent.judge_by(policy({"name": "stuck", "severity": "Warning", "event": {"type": "vm.telemetry_stuck"}}))
    wait_for(lambda: node_ref("n1") in agent.outside.plans, what="the node's plan", deadline=20)
    assert set(agent.outside.plans[node_ref("n1")].values()) == {15.0}
    sees(agent, 10.0)
    wait_for(lambda: agent.outside.exported, what="the sample's export", deadline=20)
    assert [sample.target for sample in agent.outside.exported] == [node_ref("n1")]


def test_an_annotation_on_the_node_overrides_a_rule(agent: Agent) -> None:
    annotated = NodeChanged({}, None, annotations={"virtwatch.io/rule.full": "warning=5%,critical=1%"})
    agent.judge_by(policy(FULL, **NODE)).say(annotated)
    agent.until(lambda status: status.applied != ())
    sees(agent, 10.0)
    sees(agent, 4.0)
    assert firing(agent.until(lambda status: bool(status.firing))) == [("full", "Warning")]


def test_a_sampled_rule_is_read_at_random_and_an_edit_of_its_mode_changes_that(agent: Agent) -> None:
    agent.judge_by(policy(FULL, **NODE, collection={"mode": "Sampled", "interval": "10s"}))
    agent.until(lambda status: status.applied != ())
    assert agent.outside.scattered[node_ref("n1")] == {Source.NODE: 10.0}

    ends = time.monotonic() + 10.0  # the sample counts for the end of its interval
    values = {("node.memory.available", ""): 10.0, ("node.memory.total", ""): 100.0}
    agent.say(Sample(node_ref("n1"), Source.NODE, "node", 0.0, time.time(), time.monotonic(), values, ends))
    status = agent.until(lambda status: bool(status.firing))
    assert firing(status) == [("full", "Warning")]
    assert status.firing[0].since <= time.time()
    assert status.transitions[-1].since <= time.time()

    agent.judge_by(policy(FULL, **NODE, collection={"mode": "Hybrid", "interval": "10s"}))
    agent.until(lambda _: agent.outside.scattered[node_ref("n1")] == {})


def test_a_hybrid_rule_has_a_moving_target_looked_at_once_more(agent: Agent) -> None:
    agent.judge_by(policy(FULL, **NODE, collection={"mode": "Hybrid", "interval": "30s"}))
    agent.until(lambda status: status.applied != ())
    for number in range(9):
        sees(agent, 90.0 - 10 * number)
    agent.until(lambda status: bool(status.firing))
    target, source, wait = agent.outside.again[0]
    assert (target, source) == (node_ref("n1"), Source.NODE)
    assert wait < 7.5  # at random, 0.5 to 1.5 times what its speed asks for: by far sooner than its interval


def test_how_a_node_is_looked_at_and_why_is_reported_to_who_wants_it_otherwise(agent: Agent) -> None:
    calm = policy(FULL, name="calm", **NODE, collection={"mode": "Sampled", "interval": "30s"})
    keen = policy({**FULL, "name": "also"}, name="keen", **NODE, collection={"mode": "Hybrid", "interval": "10s"})
    agent.judge_by(calm, keen)

    status = agent.until(lambda status: len(status.applied) == 2)

    told = {item.policy.name: (item.mode, item.interval, item.because) for item in status.applied}
    assert told["keen"] == ("", 0.0, "")
    assert told["calm"] == ("Hybrid", 10.0, "rule also of ClusterMonitorPolicy keen asks for node each 10s")
