"""Patterns over all VMs of a node: one alert about the node, which outlasts a restart."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import Agent, policy
from virtwatch_agent.observations import (
    Appeared,
    Domain,
    DomainState,
    IdentitiesChanged,
    KubernetesIdentity,
    TargetEvent,
)
from virtwatch_api.alert import Action
from virtwatch_api.compile import compile_policy
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.targets import vm_ref
from virtwatch_api.thresholdset import ThresholdSet

CRASHES = {
    "name": "crashes",
    "severity": "Critical",
    "pattern": {"count": {"type": "vm.crashed", "atLeast": 5, "by": "Node", "distinct": True}, "within": "1m"},
}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    started = Agent(tmp_path)
    yield started
    started.core.stop()


def uuid(number: int) -> str:
    return f"6a1c1f0e-0000-4000-8000-{number:012d}"


def boot(agent: Agent, count: int) -> None:
    for number in range(count):
        agent.say(Appeared(Domain(uuid(number), f"db-{number}", "test", "1", DomainState.RUNNING), time.time()))


def crash(agent: Agent, number: int, *, age: float = 0.0) -> None:
    agent.say(TargetEvent("vm.crashed", vm_ref(uuid(number)), time.time() - age, {"reason": "panicked"}))


def test_five_different_vms_that_crash_within_a_minute_are_one_alert_about_the_node(agent: Agent) -> None:
    agent.judge_by(policy(CRASHES))
    boot(agent, 5)
    for number in (0, 0, 0, 1, 2, 3):
        crash(agent, number)
    agent.until(lambda status: status.virtual_machines == 5)
    assert agent.status.firing == ()

    crash(agent, 4)
    status = agent.until(lambda status: bool(status.firing))

    (alert,) = status.firing
    assert str(alert.alert.target) == "Node/n1"
    assert alert.subject.described == "node n1"
    assert alert.evidence.count == 5
    assert "on 5 VMs: db-0, db-1, db-2, db-3, db-4" in alert.evidence.text
    assert [item.action for item in status.transitions] == [Action.FIRED]


def test_what_happened_before_a_restart_counts(agent: Agent) -> None:
    agent.judge_by(policy(CRASHES))
    boot(agent, 5)
    for number in range(4):
        crash(agent, number)
    agent.until(lambda status: status.virtual_machines == 5)

    agent.restart()
    agent.judge_by(policy(CRASHES))
    boot(agent, 5)
    agent.until(lambda status: status.virtual_machines == 5)
    agent.until_ticked()  # what was learned is taught
    crash(agent, 4)

    assert agent.until(lambda status: bool(status.firing)).firing[0].evidence.count == 5


def test_its_alert_outlasts_a_restart_and_an_edit_and_ends_with_its_rule(agent: Agent) -> None:
    agent.judge_by(policy(CRASHES))
    boot(agent, 5)
    for number in range(5):
        crash(agent, number)
    since = agent.until(lambda status: bool(status.firing)).firing[0].since

    agent.restart()
    agent.judge_by(policy({**CRASHES, "runbookURL": "https://wiki.example.com/crashes"}))
    agent.until(lambda status: status.applied != ())
    assert [item.since for item in agent.status.firing] == [pytest.approx(since)]

    agent.judge_by(policy({**CRASHES, "name": "other"}))
    status = agent.until(lambda status: not status.firing)
    assert [item.action for item in status.transitions] == [Action.FIRED, Action.RESOLVED]


def test_a_tenants_pattern_counts_its_own_vms(agent: Agent) -> None:
    parsed = parse_policy(
        {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": "MonitorPolicy",
            "metadata": {"name": "web", "namespace": "shop", "uid": "p", "generation": 1},
            "spec": {
                "rules": [{**CRASHES, "pattern": {"count": {"type": "vm.crashed", "by": "Node"}, "within": "1m"}}]
            },
        }
    )
    compiled = compile_policy(parsed)
    assert isinstance(compiled, ThresholdSet), compiled
    agent.judge_by(compiled)
    agent.say(
        IdentitiesChanged(
            tuple(
                KubernetesIdentity(space, f"db-{number}", f"vmi-{number}", (f"pod-{number}",), {}, {})
                for number, space in enumerate(("shop", "bank", "bank", "shop"))
            )
        )
    )
    for number in range(4):
        domain = Domain(uuid(number), f"db-{number}", "test", "1", DomainState.RUNNING, pod_uid=f"pod-{number}")
        agent.say(Appeared(domain, time.time()))
    for number in range(3):
        crash(agent, number)
    agent.until(lambda status: status.virtual_machines == 4)
    assert agent.status.firing == ()

    crash(agent, 3)
    (alert,) = agent.until(lambda status: bool(status.firing)).firing
    assert alert.subject.namespace == "shop"
    assert alert.evidence.count == 2
