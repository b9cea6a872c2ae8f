"""What an agent that is killed and started again makes of what it finds: nothing ends, and nothing is said twice."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import BUSY, PAUSED, UUID, Agent, domain, policy
from virtwatch_agent.observations import (
    Appeared,
    ConnectionState,
    DomainState,
    FoundStopped,
    IdentitiesChanged,
    KubernetesIdentity,
    MigrationsSeen,
    NodeChanged,
    Sample,
    TargetEvent,
    Vanished,
)
from virtwatch_api.alert import Action, Reason
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.nodemonitor import NodeStatus
from virtwatch_api.targets import vm_ref

ON_GPU_NODES = {"target": {"nodeSelector": {"matchLabels": {"pool": "gpu"}}}}
IO_ERROR = {"name": "io", "severity": "Critical", "event": {"type": "vm.io_error", "resolveOn": ["vm.resumed"]}}
STUCK = {
    "name": "stuck",
    "severity": "Critical",
    "event": {"type": "vm.telemetry_stuck", "resolveOn": ["vm.telemetry_recovered"]},
}
LOST = {"name": "lost", "severity": "Critical", "event": {"type": "libvirt.lost", "resolveOn": ["libvirt.restored"]}}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    started = Agent(tmp_path)
    yield started
    started.core.stop()


def actions(status: NodeStatus) -> list[Action]:
    return [item.action for item in status.transitions]


def firing(status: NodeStatus) -> list[str]:
    return [item.alert.rule for item in status.firing]


def rules(status: NodeStatus) -> list[str]:
    """Name the rule of each transition: what fires for a second may have been over before anybody looked."""
    return [item.alert.rule for item in status.transitions]


def test_a_policy_that_chooses_this_node_by_its_labels_goes_on_before_the_api_server_answers(agent: Agent) -> None:
    thresholds = policy(BUSY, PAUSED, **ON_GPU_NODES)
    agent.say(NodeChanged({"pool": "gpu"}, None)).judge_by(thresholds).appear().see(150).hear(
        "vm.paused", reason="user"
    )
    before = agent.until(lambda status: len(status.firing) == 2)

    agent.restart()
    agent.judge_by(thresholds).appear(state=DomainState.PAUSED).see(160)
    after = agent.until(lambda status: bool(status.applied) and status.applied[0].virtual_machines == 1)

    assert actions(after) == [Action.FIRED, Action.FIRED]
    assert after.firing[0].since == before.firing[0].since
    agent.see(50)
    assert firing(agent.until(lambda status: len(status.firing) == 1)) == ["paused"]


def test_a_node_that_lost_the_label_meanwhile_ends_the_alert(agent: Agent) -> None:
    thresholds = policy(BUSY, **ON_GPU_NODES)
    agent.say(NodeChanged({"pool": "gpu"}, None)).judge_by(thresholds).appear().see(150)
    agent.until(lambda status: bool(status.firing))

    agent.restart()
    agent.judge_by(thresholds).appear().say(NodeChanged({}, None))

    assert actions(agent.until(lambda status: not status.firing)) == [Action.FIRED, Action.RESOLVED]


def test_a_vm_that_stands_paused_on_an_io_error_is_the_same_alert_after_a_restart(agent: Agent) -> None:
    agent.judge_by(policy(IO_ERROR)).appear(state=DomainState.PAUSED)
    agent.hear("vm.io_error", action="pause", device="vda")
    agent.until(lambda status: bool(status.firing))

    agent.restart()
    # As a first listing says it, which does not know the disk.
    found = TargetEvent("vm.io_error", vm_ref(UUID), time.time(), {"action": "pause"}, inferred=True)
    agent.judge_by(policy(IO_ERROR, PAUSED)).appear(state=DomainState.PAUSED).say(found).hear("vm.paused")
    status = agent.until(lambda status: "paused" in firing(status))

    assert sorted(firing(status)) == ["io", "paused"]
    assert [item.alert.device for item in status.firing if item.alert.rule == "io"] == ["vda"]
    agent.hear("vm.resumed")
    assert actions(agent.until(lambda status: not status.firing)).count(Action.RESOLVED) == 2


def test_an_io_error_that_a_gap_hid_is_an_alert_though_its_disk_is_not_known(agent: Agent) -> None:
    agent.judge_by(policy(IO_ERROR)).appear()
    agent.until(lambda status: status.virtual_machines == 1)

    agent.restart()
    found = TargetEvent("vm.io_error", vm_ref(UUID), time.time(), {"action": "pause"}, inferred=True)
    agent.judge_by(policy(IO_ERROR)).appear(state=DomainState.PAUSED).say(found)

    assert agent.until(lambda status: bool(status.firing)).firing[0].alert.device == ""


def test_a_stuck_vm_that_recovered_during_a_restart_is_found_well_by_its_first_answer(agent: Agent) -> None:
    agent.judge_by(policy(STUCK)).appear().hear("vm.telemetry_stuck", reason="no answer for 9 s")
    agent.until(lambda status: bool(status.firing))

    agent.restart()
    agent.judge_by(policy(STUCK)).appear().see(50)
    assert firing(agent.until(lambda status: status.virtual_machines == 1)) == [
        "stuck"
    ]  # the kernel alone tells nothing
    now = time.time()
    agent.say(Sample(vm_ref(UUID), Source.BLOCK, "1", now, now, time.monotonic(), {("disk.capacity", "vda"): 1.0}))
    status = agent.until(lambda status: not status.firing)

    assert status.transitions[-1].evidence.text == "vm.telemetry_recovered, found after a gap"


def test_a_vm_that_is_still_stuck_after_a_restart_is_said_once(agent: Agent) -> None:
    agent.judge_by(policy(STUCK)).appear().hear("vm.telemetry_stuck", reason="no answer for 9 s")
    agent.until(lambda status: bool(status.firing))

    agent.restart()
    agent.judge_by(policy(STUCK)).appear().hear("vm.telemetry_stuck", reason="no answer for 19 s")
    agent.until(lambda status: bool(status.firing) and "19 s" in status.firing[0].evidence.text)
    agent.hear("vm.telemetry_recovered")

    assert actions(agent.until(lambda status: not status.firing)) == [Action.FIRED, Action.RESOLVED]


def test_a_libvirt_that_came_back_during_a_restart_is_found_well_as_it_is_opened(agent: Agent) -> None:
    agent.judge_by(policy(LOST)).appear().say(ConnectionState("test", 1.0, "it was lost"))
    agent.until(lambda status: bool(status.firing))

    agent.restart()
    agent.judge_by(policy(LOST)).say(ConnectionState("test", 2.0)).appear()

    assert actions(agent.until(lambda status: not status.firing)) == [Action.FIRED, Action.RESOLVED]


def test_what_a_node_says_of_how_it_sees_a_vm_ends_with_the_vm(agent: Agent) -> None:
    agent.judge_by(policy(STUCK, LOST)).appear().hear("vm.telemetry_stuck", reason="no answer for 9 s")
    agent.say(ConnectionState("test", 1.0, "it was lost"))
    agent.until(lambda status: len(status.firing) == 2)

    agent.say(Vanished(UUID, time.time(), "destroyed")).appear(incarnation="2")
    status = agent.until(lambda status: not status.firing and status.virtual_machines == 1)

    assert {item.reason for item in status.transitions if item.action is Action.RESOLVED} == {Reason.DOMAIN_STOPPED}


SHOP_DB = KubernetesIdentity("shop", "db-1", "vmi-1", ("pod-1",), {}, {})
CRASHED = {"name": "crashed", "severity": "Critical", "event": {"type": "vm.crashed", "resolveOn": ["vm.started"]}}
STOPPED = {"name": "stopped", "severity": "Warning", "event": {"type": "vm.stopped", "keepFiringFor": "1s"}}


def crashed(agent: Agent) -> None:
    """Let a VM crash, and the alert on its stop expire; that on its crash stays."""
    agent.judge_by(policy(CRASHED, STOPPED)).appear()
    agent.hear("vm.crashed", reason="failed").hear("vm.stopped", reason="failed")
    agent.say(Vanished(UUID, time.time(), "failed"))
    agent.until(lambda status: "stopped" in rules(status))
    agent.until(lambda status: firing(status) == ["crashed"])


def test_the_end_of_a_vm_that_was_told_is_not_told_again_after_a_restart(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtwatch_agent.core.inventory._GRACE", 0.5)
    crashed(agent)
    before = agent.status
    # What is told of another VM, which is not found again, tells that the time for it has passed.
    agent.say(Appeared(replace(domain(), uuid="other", name="other"), time.time()))
    agent.until(lambda status: status.virtual_machines == 1)

    agent.restart()
    agent.judge_by(policy(CRASHED, STOPPED))
    status = agent.until(lambda status: any(item.subject.target.id == "other" for item in status.transitions))

    assert [item for item in status.transitions if item.subject.target.id == UUID] == list(before.transitions)
    assert "crashed" in firing(status)


CRASH = FoundStopped(UUID, "test", "crashed", crashed=True)
OTHER = Appeared(replace(domain(), uuid="other", name="other"), 1.0)


def test_a_crash_while_the_agent_was_away_is_told_by_what_libvirt_still_knows(agent: Agent) -> None:
    agent.judge_by(policy(CRASHED, STOPPED, BUSY)).appear().see(150)
    agent.until(lambda status: bool(status.firing))

    agent.restart()
    agent.judge_by(policy(CRASHED, STOPPED, BUSY)).say(CRASH)
    status = agent.until(lambda status: {"crashed", "stopped"} <= set(rules(status)))

    said = {item.alert.rule: item.evidence.text for item in status.transitions if item.action is Action.FIRED}
    assert said["crashed"] == "vm.crashed (reason crashed), found after a gap"
    assert said["stopped"] == "vm.stopped (reason crashed), found after a gap"
    ended = [item for item in status.transitions if item.action is Action.RESOLVED and item.alert.rule != "stopped"]
    assert [(item.alert.rule, item.reason) for item in ended] == [("busy", Reason.DOMAIN_STOPPED)]


def test_a_crash_that_is_found_before_the_policies_are_known_waits_for_them_over_a_kill(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtwatch_agent.core.core._TICK", 0.0)  # a look at the clock in each turn
    agent.judge_by(policy(CRASHED)).appear()
    agent.until(lambda status: status.virtual_machines == 1)

    for _ in range(2):
        agent.restart()
        agent.say(CRASH, OTHER)
        agent.until(lambda status: status.virtual_machines == 1)
        assert agent.status.sequence == 0
    agent.judge_by(policy(CRASHED))

    assert firing(agent.until(lambda status: bool(status.firing))) == ["crashed"]


def test_a_crash_that_is_heard_before_the_policies_are_known_waits_for_them(agent: Agent) -> None:
    agent.appear().hear("vm.crashed", reason="failed").say(Vanished(UUID, time.time(), "failed"), OTHER)
    agent.until(lambda status: status.virtual_machines == 1)
    agent.judge_by(policy(CRASHED))

    assert firing(agent.until(lambda status: bool(status.firing))) == ["crashed"]


def test_an_alert_on_an_end_that_waited_for_its_rule_ends_though_its_vm_never_comes_back(agent: Agent) -> None:
    passing = {"name": "crashed", "severity": "Critical"}
    passing["event"] = {"type": "vm.crashed", "resolveOn": ["vm.started"], "keepFiringFor": "1s"}
    pod = replace(domain(), pod_uid="pod-1")
    agent.judge_by(policy(passing)).say(Appeared(pod, 1.0)).hear("vm.crashed")
    agent.say(Vanished(UUID, time.time(), "failed"), IdentitiesChanged((SHOP_DB,)))

    agent.until(lambda status: "crashed" in rules(status))
    agent.until(lambda status: not status.firing)


def test_a_vm_that_was_shut_down_while_the_agent_was_away_has_not_crashed(agent: Agent) -> None:
    agent.judge_by(policy(CRASHED, STOPPED)).appear()
    agent.until(lambda status: status.virtual_machines == 1)

    agent.restart()
    agent.judge_by(policy(CRASHED, STOPPED)).say(FoundStopped(UUID, "test", "shutdown", crashed=False))

    assert rules(agent.until(lambda status: bool(status.transitions)))[0] == "stopped"
    ended = agent.until(lambda status: not status.firing and status.virtual_machines == 0)
    assert rules(ended) == ["stopped", "stopped"]


def test_a_vm_whose_end_was_told_is_not_told_again_because_libvirt_lists_it(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed(agent)

    monkeypatch.setattr("virtwatch_agent.core.core._TICK", 0.0)  # a look at the clock in each turn
    agent.restart()
    agent.judge_by(policy(CRASHED, STOPPED)).say(CRASH, OTHER)
    status = agent.until(lambda status: status.virtual_machines == 1)

    assert [item.alert.rule for item in status.transitions] == ["crashed", "stopped", "stopped"]
    assert firing(status) == ["crashed"]


def test_a_vm_that_starts_again_as_the_agent_does_is_told_as_started_once(agent: Agent) -> None:
    started = {"name": "started", "severity": "Warning", "event": {"type": "vm.started", "resolveOn": ["vm.stopped"]}}
    agent.judge_by(policy(started, STOPPED)).appear().hear("vm.started", reason="booted")
    agent.until(lambda status: firing(status) == ["started"])

    agent.restart()
    agent.judge_by(policy(started, STOPPED)).say(Appeared(domain(incarnation="2"), time.time(), "booted", started=True))
    agent.hear("vm.started", reason="booted").hear("vm.rebooted")
    agent.until(lambda _: "vm.rebooted" in agent.outside.received)
    status = agent.until(lambda status: len(status.transitions) >= 4)

    told = status.transitions[:4]  # that on the stop ends soon
    assert [(item.alert.rule, item.action) for item in told] == [
        ("started", Action.FIRED),
        ("started", Action.RESOLVED),
        ("stopped", Action.FIRED),
        ("started", Action.FIRED),
    ]
    assert told[-1].evidence.text == "vm.started (reason booted)"
    assert agent.outside.received == ["vm.stopped", "vm.started", "vm.rebooted"]


def test_a_start_that_a_listing_showed_before_it_was_heard_is_told_once(agent: Agent) -> None:
    agent.judge_by(policy(STOPPED)).appear()
    agent.until(lambda status: status.virtual_machines == 1)

    agent.restart()
    agent.judge_by(policy(STOPPED)).appear(incarnation="2")
    agent.say(Appeared(domain(incarnation="2"), time.time(), "booted", started=True))
    agent.hear("vm.started", reason="booted").hear("vm.rebooted")
    agent.until(lambda _: "vm.rebooted" in agent.outside.received)
    agent.say(Vanished(UUID, time.time(), "destroyed")).appear(incarnation="3", started=True).hear("vm.started")
    agent.hear("vm.rebooted")
    agent.until(lambda _: agent.outside.received.count("vm.rebooted") == 2)

    assert agent.outside.received == ["vm.stopped", "vm.started", "vm.rebooted", "vm.started", "vm.rebooted"]


def test_an_io_error_that_was_judged_late_is_known_after_a_restart_and_over_when_its_vm_runs_on(agent: Agent) -> None:
    passing = {"name": "io", "severity": "Critical", "event": {"type": "vm.io_error", "keepFiringFor": "1s"}}
    pod, paused = replace(domain(), pod_uid="pod-1"), replace(domain(state=DomainState.PAUSED), pod_uid="pod-1")
    found = TargetEvent("vm.io_error", vm_ref(UUID), time.time(), {"action": "pause"}, inferred=True)
    agent.judge_by(policy(passing)).say(Appeared(paused, 1.0)).hear("vm.io_error", action="pause", device="vda")
    agent.say(IdentitiesChanged((SHOP_DB,)))
    agent.until(lambda status: actions(status) == [Action.FIRED, Action.RESOLVED])

    agent.restart()
    agent.judge_by(policy(passing)).say(IdentitiesChanged((SHOP_DB,)), Appeared(paused, 1.0), found).hear("vm.rebooted")
    agent.until(lambda _: bool(agent.outside.received))
    assert agent.outside.received == ["vm.rebooted"]

    # A pause that came and went before anybody knew whose VM it is hides no later one.
    agent.restart(agent.folder / "new")
    agent.judge_by(policy(passing)).say(Appeared(paused, 1.0)).hear("vm.io_error", action="pause", device="vda")
    agent.say(Appeared(pod, 2.0)).hear("vm.resumed").say(IdentitiesChanged((SHOP_DB,)))
    agent.until(lambda status: actions(status) == [Action.FIRED, Action.RESOLVED])
    agent.say(Appeared(paused, 3.0), found)
    agent.until(lambda status: actions(status)[2:3] == [Action.FIRED])


def test_an_io_error_whose_alert_has_expired_is_no_new_one_after_a_restart(agent: Agent) -> None:
    passing = {"name": "io", "severity": "Critical", "event": {"type": "vm.io_error", "keepFiringFor": "1s"}}
    agent.judge_by(policy(passing)).appear(state=DomainState.PAUSED)
    agent.hear("vm.io_error", action="pause", device="vda")
    agent.until(lambda status: actions(status) == [Action.FIRED, Action.RESOLVED])

    agent.restart()
    found = TargetEvent("vm.io_error", vm_ref(UUID), time.time(), {"action": "pause"}, inferred=True)
    agent.judge_by(policy(passing)).appear(state=DomainState.PAUSED).say(found)
    # The same again, once it has run on: a new pause, and a new error.
    agent.appear().hear("vm.resumed").appear(state=DomainState.PAUSED).say(found)
    status = agent.until(lambda status: len(status.transitions) > 2)

    assert actions(status)[:3] == [Action.FIRED, Action.RESOLVED, Action.FIRED]
    assert agent.outside.received == ["vm.resumed", "vm.io_error"]


def test_an_io_error_that_came_before_the_rules_were_known_is_told_after_a_restart(agent: Agent) -> None:
    agent.appear(state=DomainState.PAUSED).hear("vm.io_error", action="pause", device="vda")
    agent.until(lambda status: status.virtual_machines == 1)

    agent.restart()
    found = TargetEvent("vm.io_error", vm_ref(UUID), time.time(), {"action": "pause"}, inferred=True)
    agent.judge_by(policy(IO_ERROR)).appear(state=DomainState.PAUSED).say(found)

    assert firing(agent.until(lambda status: bool(status.firing))) == ["io"]


def test_a_vm_that_starts_while_the_agent_is_away_ends_the_alert_of_its_crash(agent: Agent) -> None:
    crashed(agent)

    agent.restart()
    agent.judge_by(policy(CRASHED, STOPPED)).appear(incarnation="2")
    status = agent.until(lambda status: not status.firing)

    assert status.transitions[-1].evidence.text == "vm.started (reason unknown), found after a gap"
    assert [item.alert.rule for item in status.transitions] == ["crashed", "stopped", "stopped", "crashed"]


MOVES = {
    "name": "moves",
    "severity": "Warning",
    "event": {"type": "vm.migration_started", "resolveOn": ["vm.migration_completed", "vm.migration_failed"]},
}


def seen(agent: Agent, *leaving: str) -> Agent:
    return agent.say(MigrationsSeen(frozenset({UUID}), frozenset(leaving), agent.clock.time()))


def test_a_migration_goes_on_over_a_restart_and_its_failure_is_inferred(agent: Agent) -> None:
    agent.judge_by(policy(MOVES)).appear().hear("vm.migration_started")
    agent.until(lambda status: firing(status) == ["moves"])

    agent.restart()
    seen(agent.judge_by(policy(MOVES)).appear(), UUID).hear("vm.migration_started")
    agent.until(lambda status: status.virtual_machines == 1 and firing(status) == ["moves"])
    seen(agent)
    status = agent.until(lambda status: not status.firing)

    assert actions(status) == [Action.FIRED, Action.RESOLVED]
    assert agent.outside.received == ["vm.migration_failed"]


def test_a_migration_that_began_while_nobody_looked_is_inferred(agent: Agent) -> None:
    seen(agent.judge_by(policy(MOVES)).appear(), UUID)
    agent.until(lambda status: firing(status) == ["moves"])
    agent.hear("vm.migration_started").hear("vm.stopped", reason="migrated")
    agent.until(lambda status: not status.firing)

    assert agent.outside.received == ["vm.migration_started", "vm.migration_completed", "vm.stopped"]
