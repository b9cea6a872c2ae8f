"""Storage pools and networks as targets: their life, their alerts, and what is inferred over gaps."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import Agent, policy
from virtwatch_agent.observations import LibvirtObject, ObjectsListed, Sample, TargetEvent
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.nodemonitor import NodeStatus
from virtwatch_api.targets import TARGET_KINDS, TargetRef

POOL = LibvirtObject(TargetRef(TargetKind.STORAGE_POOL, "p-1"), "images", "qemu", active=True)
STOPPED = replace(POOL, active=False)
FULL = {"name": "full", "threshold": {"signal": "pool.utilization", "warning": {"above": "80%"}}}
DOWN = {"name": "down", "severity": "Critical", "event": {"type": "pool.stopped", "resolveOn": ["pool.started"]}}
POOLS = {"target": {"kind": "StoragePool"}}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    started = Agent(tmp_path)
    yield started
    started.core.stop()


def lists(agent: Agent, *pools: LibvirtObject, connection: str = "qemu") -> None:
    agent.say(ObjectsListed(TargetKind.STORAGE_POOL, connection, time.time(), pools))


def sees(agent: Agent, used: float) -> None:
    values = {("pool.allocation", ""): used, ("pool.capacity", ""): 100.0}
    agent.say(Sample(POOL.target, Source.STORAGE, "storage", 0.0, time.time(), time.monotonic(), values))


def firing(status: NodeStatus) -> list[tuple[str, str]]:
    return [(item.alert.rule, item.severity) for item in status.firing]


def test_a_rule_on_a_pool_fires_and_outlasts_a_restart(agent: Agent) -> None:
    agent.judge_by(policy(FULL, **POOLS))
    lists(agent, POOL)
    sees(agent, 90.0)
    status = agent.until(lambda status: bool(status.firing))
    assert firing(status) == [("full", "Warning")]
    subject = status.firing[0].subject
    assert subject.described == "storage pool images"
    assert TARGET_KINDS[TargetKind.STORAGE_POOL].regarding(subject).kind == "Node"
    assert agent.outside.plans[POOL.target] == {Source.STORAGE: 1.0}

    agent.restart()
    agent.judge_by(policy(FULL, **POOLS))
    assert firing(agent.until(lambda status: bool(status.firing))) == [("full", "Warning")]
    lists(agent, POOL)
    sees(agent, 50.0)
    agent.until(lambda status: not status.firing)


def test_a_pool_that_is_gone_ends_its_alerts(agent: Agent) -> None:
    agent.judge_by(policy(FULL, **POOLS))
    lists(agent, POOL)
    sees(agent, 90.0)
    agent.until(lambda status: bool(status.firing))
    lists(agent)
    agent.until(lambda status: not status.firing)


def test_a_pool_stopped_during_a_restart_is_inferred(agent: Agent) -> None:
    agent.judge_by(policy(DOWN, **POOLS))
    lists(agent, POOL)
    agent.until(lambda status: status.applied != ())

    agent.restart()
    agent.judge_by(policy(DOWN, **POOLS))
    lists(agent, STOPPED)
    assert firing(agent.until(lambda status: bool(status.firing))) == [("down", "Critical")]
    assert agent.outside.received == ["pool.stopped"]
    lists(agent, POOL)
    agent.until(lambda status: not status.firing)


def test_an_event_before_its_listing_is_told_once(agent: Agent) -> None:
    agent.judge_by(policy(DOWN, **POOLS))
    agent.say(TargetEvent("pool.started", POOL.target, time.time()))
    lists(agent, POOL)
    agent.say(TargetEvent("pool.stopped", POOL.target, time.time()))
    lists(agent, STOPPED)
    agent.until(lambda status: bool(status.firing))
    assert agent.outside.received == ["pool.started", "pool.stopped"]


def test_the_first_connection_that_shows_a_pool_counts(agent: Agent) -> None:
    agent.judge_by(policy(FULL, **POOLS))
    lists(agent, POOL)
    sees(agent, 90.0)
    agent.until(lambda status: bool(status.firing))
    other = replace(POOL, connection="again")
    lists(agent, other, connection="again")
    lists(agent, connection="again")
    sees(agent, 95.0)
    status = agent.until(lambda status: status.agent.samples == 2 or bool(status.firing))
    assert firing(status) == [("full", "Warning")]
    lists(agent)
    agent.until(lambda status: not status.firing)
