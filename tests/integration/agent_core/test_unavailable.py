"""A rule that never gets data is reported, neither as well nor as bad, until it gets some."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import BUSY, UUID, Agent, policy
from virtwatch_agent.observations import DomainState, Sample
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.nodemonitor import NodeStatus, Replaced, Unavailable
from virtwatch_api.targets import vm_ref

HEADROOM = {"name": "memory", "threshold": {"signal": "vm.memory.headroom.ratio", "warning": {"below": "5%"}}}
STUCK = {"name": "stuck", "severity": "Warning", "event": {"type": "vm.telemetry_stuck"}}
NO_REPORT = "the guest reports no memory: <memballoon> needs <stats period='10'/>, the guest the virtio_balloon driver"
NO_MONITOR = "its libvirt gives no memory figures: the driver has none, or the VM's monitor does not answer"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    started = Agent(tmp_path)
    yield started
    started.core.stop()


def tells(agent: Agent, **figures: float) -> None:
    values = {(f"memory.{name}", ""): figure for name, figure in figures.items()}
    now, clock = agent.clock.time(), agent.clock.monotonic()
    agent.say(Sample(vm_ref(UUID), Source.BALLOON, "1", now, now, clock, values))


def missing(status: NodeStatus) -> list[Unavailable]:
    return [item for applied in status.applied for item in applied.unavailable]


def in_time(agent: Agent, condition: Callable[[NodeStatus], bool], give: Callable[[], object]) -> NodeStatus:
    """Let time pass, in which the target gives what it gives, until a condition holds."""
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        give()
        agent.until_judged()  # else more time would pass than there is between two of what it gives
        if agent.outside.statuses and condition(agent.status):
            return agent.status
        agent.clock.passed += 2.0
        time.sleep(0.05)
    raise AssertionError(f"the last status was {agent.outside.statuses[-1:]}")


def test_a_guest_that_reports_no_memory_is_named(agent: Agent) -> None:
    agent.judge_by(policy(BUSY, HEADROOM)).appear()
    began = agent.clock.time()

    def silent() -> None:
        agent.see(50)
        tells(agent, balloon=100.0)

    status = in_time(agent, lambda status: bool(missing(status)), silent)
    assert agent.clock.time() - began >= 60  # so long a guest may take to start
    assert missing(status) == [Unavailable("memory", "vm.memory.headroom.ratio", 1, NO_REPORT, "db-1")]
    judged = next(item for item in status.conditions if item.type == "Judged")
    told = f"web: rule memory cannot be judged for db-1: no vm.memory.headroom.ratio ({NO_REPORT})"
    assert (judged.status, judged.message) == (False, told)

    in_time(
        agent,
        lambda status: not missing(status),
        lambda: tells(agent, balloon=100.0, usable=50.0, available=100.0),
    )


def test_a_monitor_that_nobody_can_ask_makes_no_rule_healthy(agent: Agent) -> None:
    agent.judge_by(policy(BUSY, STUCK)).appear()
    status = in_time(agent, lambda status: bool(missing(status)), lambda: agent.see(50))
    assert missing(status) == [Unavailable("stuck", "vm.telemetry_stuck", 1, NO_MONITOR, "db-1")]
    in_time(agent, lambda status: not missing(status), lambda: tells(agent, balloon=100.0))


def test_a_paused_vm_lacks_nothing(agent: Agent) -> None:
    agent.judge_by(policy(HEADROOM)).appear()
    in_time(agent, lambda status: bool(missing(status)), lambda: None)
    agent.appear(state=DomainState.PAUSED)
    in_time(agent, lambda status: not missing(status), lambda: None)


def test_a_rule_that_gives_way_to_anothers_is_named(agent: Agent) -> None:
    first, second = policy(BUSY, name="a"), policy(BUSY, name="b")
    agent.judge_by(first, second).appear()

    def replaced(status: NodeStatus) -> dict[str, tuple[Replaced, ...]]:
        return {item.policy.name: item.replaced for item in status.applied}

    status = in_time(agent, lambda status: bool(replaced(status).get("b")), lambda: agent.see(50))
    assert replaced(status) == {"a": (), "b": (Replaced("busy", first.policy, 1),)}

    agent.judge_by(second)
    in_time(agent, lambda status: replaced(status) == {"b": ()}, lambda: agent.see(50))
