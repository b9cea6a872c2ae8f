"""The node as a target, from samples to a report that outlasts a restart."""

import time

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


def sees(agent: Agent, available: float) -> None:
    values = {("node.memory.available", ""): available, ("node.memory.total", ""): 100.0}
    now = time.time()
    agent.say(Sample(node_ref("n1"), Source.NODE, "node", 0.0, now, time.monotonic(), values))


def firing(status: NodeStatus) -> list[tuple[str, str]]:
    return [(item.alert.rule, item.severity) for item in status.firing]


def test_a_rule_on_the_node_fires_and_outlasts_a_restart(tmp_path) -> None:
    agent = Agent(tmp_path)
    agent.judge_by(policy(FULL, **NODE))
    agent.until(lambda status: status.applied != ())
    sees(agent, 10.0)
    status = agent.until(lambda status: bool(status.firing))
    assert firing(status) == [("full", "Warning")]
    assert status.firing[0].subject.described == "node n1"
    assert agent.outside.plans[node_ref("n1")] == {Source.NODE: 1.0}

    agent.restart()
    agent.judge_by(policy(FULL, **NODE))
    assert firing(agent.until(lambda status: bool(status.firing))) == [("full", "Warning")]
    sees(agent, 50.0)
    agent.until(lambda status: not status.firing)
    assert status.virtual_machines == 0


def test_the_node_is_read_and_exported_though_no_rule_asks(tmp_path) -> None:
    agent = Agent(tmp_path)
    agent.judge_by(policy({"name": "stuck", "severity": "Warning", "event": {"type": "vm.telemetry_stuck"}}))
    wait_for(lambda: node_ref("n1") in agent.outside.plans, what="the node's plan", deadline=20)
    assert agent.outside.plans[node_ref("n1")] == {Source.NODE: 15.0}
    sees(agent, 10.0)
    wait_for(lambda: agent.outside.exported, what="the sample's export", deadline=20)
    assert [sample.target for sample in agent.outside.exported] == [node_ref("n1")]


def test_an_annotation_on_the_node_overrides_a_rule(tmp_path) -> None:
    agent = Agent(tmp_path)
    annotated = NodeChanged({}, None, annotations={"virtwatch.io/rule.full": "warning=5%,critical=1%"})
    agent.judge_by(policy(FULL, **NODE)).say(annotated)
    agent.until(lambda status: status.applied != ())
    sees(agent, 10.0)
    sees(agent, 4.0)
    assert firing(agent.until(lambda status: bool(status.firing))) == [("full", "Warning")]
