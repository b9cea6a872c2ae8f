"""An alert goes along with its VM from one agent to another: two cores, each with its journal, and what is between."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import BUSY, UUID, Agent, judging, learned, policy
from virtwatch_agent.core import inventory
from virtwatch_agent.observations import (
    Appeared,
    Domain,
    DomainState,
    IdentitiesChanged,
    KubernetesIdentity,
    NodeChanged,
    Sample,
    ThresholdsChanged,
    Vanished,
)
from virtwatch_api.alert import Action, Reason
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.nodemonitor import Handover, NodeStatus
from virtwatch_api.nodemonitor_codec import decode_handover, encode_handover
from virtwatch_api.targets import vm_ref

FAILED = {"name": "failed", "severity": "Critical", "event": {"type": "vm.io_error", "resolveOn": ["vm.stopped"]}}
STOPPED = {"name": "stopped", "severity": "Warning", "event": {"type": "vm.stopped"}}
RSS = {("memory.rss", ""): 150.0}
CRASHED = {"name": "crashed", "severity": "Critical", "event": {"type": "vm.crashed"}}
SLOW = {"name": "slow", "threshold": {"signal": "vm.memory.rss", "warning": {"above": 100}, "for": "1h"}}


def identity(pod: str, *, to: str = "") -> KubernetesIdentity:
    return KubernetesIdentity("shop", "db-1", "vmi-1", (pod,), {"tier": "db"}, {}, migration_target=to)


def domain(pod: str) -> Domain:
    return Domain(UUID, "shop_db-1", pod, f"qemu-of-{pod}", DomainState.RUNNING, pod_uid=pod)


@dataclass
class Nodes:
    source: Agent
    target: Agent

    def fire(self, *rules: dict, to: str = "n2") -> NodeStatus:
        """Let the VM run on the source with an alert, and begin to migrate; `to` is what the API says of where to."""
        self.source.judge_by(policy(*(rules or (BUSY,))))
        self.source.say(IdentitiesChanged((identity("pod-a"),)), Appeared(domain("pod-a"), 0.0)).see(150)
        status = self.source.until(lambda status: status.counts.warning + status.counts.pending == 1)
        self.source.say(IdentitiesChanged((identity("pod-a", to=to),)))
        return status

    def leave(self) -> Handover:
        """Let the VM leave; return what the operator hands over, as the API server would give it back."""
        self.source.say(Vanished(UUID, 0.0, "migrated"))
        status = self.source.until(lambda status: Action.HANDED_OVER in [item.action for item in status.transitions])
        sent = status.transitions[-1]
        assert sent.move is not None
        return decode_handover(encode_handover(Handover(status.epoch, sent, sent.move)))

    def arrive(self) -> None:
        """Let the VM be on the target, as its agent and then the API see it."""
        self.target.say(Appeared(domain("pod-b"), 0.0), IdentitiesChanged((identity("pod-b"),)))


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    for name in ("n1", "n2"):
        (tmp_path / name).mkdir()
    both = Nodes(Agent(tmp_path / "n1"), Agent(tmp_path / "n2", "n2"))
    both.target.judge_by(policy(BUSY))
    yield both
    both.source.core.stop()
    both.target.core.stop()


def actions(status: NodeStatus) -> list[Action]:
    return [item.action for item in status.transitions]


def since(status: NodeStatus) -> list[float]:
    """Return since when alerts fire, as exactly as the API server holds it."""
    return [round(item.since, 6) for item in status.firing]


def test_the_alert_of_a_vm_that_migrates_goes_on_over_there_with_its_since(nodes: Nodes) -> None:
    before = nodes.fire().firing[0]
    handover = nodes.leave()
    assert nodes.source.status.firing == ()

    nodes.arrive()
    nodes.target.say(NodeChanged({}, None, (handover,)))
    status = nodes.target.until(lambda status: bool(status.firing))

    assert status.firing[0].alert == before.alert
    assert since(status) == [round(before.since, 6)]
    assert status.firing[0].traceparent == before.traceparent
    assert (status.firing[0].subject.node, status.firing[0].subject.uid) == ("n2", "vmi-1")
    assert status.transitions == ()
    assert [item.handover for item in status.adopted] == [handover.id]


def test_an_alert_that_leaves_behind_more_entries_than_are_listed_is_seen_until_its_own_is(nodes: Nodes) -> None:
    nodes.fire()
    nodes.source.see(*[50, 150] * 16)
    before = nodes.source.until(lambda status: status.sequence == 33)

    nodes.source.say(Vanished(UUID, 0.0, "migrated"))
    status = nodes.source.until(lambda status: status.sequence == 34)
    assert Action.HANDED_OVER not in actions(status)
    assert [item.alert for item in status.firing] == [before.firing[0].alert]
    assert since(status) == since(before)
    assert status.counts.warning == 1

    nodes.source.acknowledge(status.epoch, 2)
    status = nodes.source.until(lambda status: Action.HANDED_OVER in actions(status))
    assert (status.firing, status.counts.warning) == ((), 0)


def test_an_alert_that_comes_before_its_vm_waits_for_it(nodes: Nodes) -> None:
    before = nodes.fire().firing[0]
    nodes.target.say(NodeChanged({}, None, (nodes.leave(),)))
    waiting = nodes.target.until(lambda status: bool(status.firing))
    assert waiting.virtual_machines == 0

    nodes.arrive()
    nodes.target.see(150)
    status = nodes.target.until(lambda status: status.virtual_machines == 1)

    assert since(status) == [round(before.since, 6)]
    assert status.transitions == ()


def test_an_alert_whose_vm_the_api_names_late_still_fires(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher's libvirt is opened once the API names the VM here, which KubeVirt may do minutes late."""
    monkeypatch.setattr("virtwatch_agent.core.inventory._GRACE", 1.0)
    before = nodes.fire().firing[0]
    nodes.target.say(NodeChanged({}, None, (nodes.leave(),)))
    nodes.target.until(lambda status: bool(status.firing))
    time.sleep(1.0)
    nodes.target.until_ticked()

    nodes.arrive()
    nodes.target.see(150)
    status = nodes.target.until(lambda status: status.virtual_machines == 1)

    assert since(status) == [round(before.since, 6)]
    assert status.transitions == ()


@pytest.mark.parametrize("first", [True, False])
def test_an_alert_whose_vm_was_named_and_is_gone_ends(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """So a VM that is deleted right after it moved is soon reported as stopped, whether its alert came `first`."""
    monkeypatch.setattr("virtwatch_agent.core.inventory._GRACE", 1.0)
    nodes.fire()
    came, named = NodeChanged({}, None, (nodes.leave(),)), IdentitiesChanged((identity("pod-b"),))
    nodes.target.say(*([came, named] if first else [named, came]), IdentitiesChanged(()))

    (ended,) = nodes.target.until(lambda status: bool(status.transitions)).transitions

    assert (ended.action, ended.reason) == (Action.RESOLVED, Reason.DOMAIN_STOPPED)


@pytest.mark.parametrize(("to", "told"), [("", True), ("n3", False)])
def test_a_vm_that_stops_before_its_new_nodes_agent_sees_it_stopped(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, to: str, told: bool
) -> None:
    """Its launcher is opened once the API names the VM here; by then it may have stopped, or gone on."""
    monkeypatch.setattr("virtwatch_agent.core.inventory._GRACE", 1.0)
    nodes.target.judge_by(policy(BUSY, STOPPED))
    nodes.fire()
    named = IdentitiesChanged((identity("pod-b", to=to),))
    nodes.target.say(NodeChanged({}, None, (nodes.leave(),)), named, IdentitiesChanged(()))

    transitions = nodes.target.until(lambda status: bool(status.transitions)).transitions

    assert [item.alert.rule for item in transitions if item.action is Action.FIRED] == ["stopped"] * told
    (ended,) = [item for item in transitions if item.action is not Action.FIRED]
    assert (ended.alert.rule, ended.action) == ("busy", Action.RESOLVED if told else Action.HANDED_OVER)


def test_an_alert_whose_vm_never_comes_ends(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtwatch_agent.core.inventory._ARRIVES_WITHIN_S", 1.0)
    nodes.fire()
    nodes.target.say(NodeChanged({}, None, (nodes.leave(),)))

    (ended,) = nodes.target.until(lambda status: bool(status.transitions)).transitions

    assert (ended.action, ended.reason) == (Action.RESOLVED, Reason.DOMAIN_STOPPED)


def test_an_alert_does_not_land_on_another_vm_that_has_the_same_uuid(nodes: Nodes) -> None:
    nodes.fire()
    other = replace(identity("pod-b"), namespace="dev", vmi_uid="vmi-2")
    nodes.target.say(Appeared(domain("pod-b"), 0.0), IdentitiesChanged((other,)))

    nodes.target.say(NodeChanged({}, None, (nodes.leave(),)))

    status = nodes.target.until(lambda status: bool(status.transitions))
    assert status.firing == ()
    (ended,) = status.transitions
    assert (ended.action, ended.reason) == (Action.RESOLVED, Reason.DOMAIN_STOPPED)
    assert (ended.subject.namespace, ended.subject.uid, ended.subject.node) == ("shop", "vmi-1", "n2")


def remember(nodes: Nodes, other: KubernetesIdentity) -> None:
    """Let a VM with the same UUID have crashed on the target, where that still fires."""
    nodes.target.judge_by(policy(BUSY, CRASHED))
    earlier = replace(domain("pod-0"), incarnation="qemu-before")
    nodes.target.say(IdentitiesChanged((other,)), Appeared(earlier, time.time()))
    nodes.target.hear("vm.crashed", reason="crashed").say(Vanished(UUID, time.time(), "crashed"))
    nodes.target.say(IdentitiesChanged(()))
    nodes.target.until(lambda status: bool(status.firing) and status.virtual_machines == 0)


def test_an_alert_lands_where_the_vm_was_before_its_restart(nodes: Nodes) -> None:
    """A firmware UUID survives restarts of a VM, its VMI's uid does not."""
    remember(nodes, replace(identity("pod-0"), vmi_uid="vmi-0"))
    before = nodes.fire().firing[0]
    nodes.target.say(NodeChanged({}, None, (nodes.leave(),)))
    waiting = nodes.target.until(lambda status: len(status.firing) == 2)
    assert {item.subject.uid for item in waiting.firing} == {"vmi-1"}

    nodes.arrive()
    nodes.target.see(150)
    status = nodes.target.until(lambda status: status.virtual_machines == 1)

    assert {item.alert.rule for item in status.firing} == {"busy", "crashed"}
    assert round(before.since, 6) in since(status)
    assert actions(status) == [Action.FIRED]


def test_an_alert_does_not_land_on_a_namesake_that_crashed(nodes: Nodes) -> None:
    remember(nodes, replace(identity("pod-0"), namespace="dev", vmi_uid="vmi-2"))
    nodes.fire()

    nodes.target.say(NodeChanged({}, None, (nodes.leave(),)))

    status = nodes.target.until(lambda status: Action.RESOLVED in actions(status))
    assert status.transitions[-1].subject.namespace == "shop"
    assert [item.subject.namespace for item in status.firing] == ["dev"]


def test_an_alert_is_taken_once_though_it_is_told_again_and_the_agent_restarts(nodes: Nodes) -> None:
    nodes.fire()
    handover = nodes.leave()
    nodes.arrive()
    nodes.target.say(NodeChanged({}, None, (handover,)))
    nodes.target.until(lambda status: bool(status.firing))
    nodes.target.see(50, 50, 50, 50)
    nodes.target.until(lambda status: actions(status) == [Action.RESOLVED])

    nodes.target.restart()
    nodes.target.judge_by(policy(BUSY))
    nodes.arrive()
    nodes.target.say(NodeChanged({"told": "again"}, None, (handover,)))
    status = nodes.target.until(lambda status: status.virtual_machines == 1 and bool(status.applied))

    assert status.firing == ()
    assert actions(status) == [Action.RESOLVED]


def test_what_the_operator_holds_no_more_is_forgotten(nodes: Nodes) -> None:
    nodes.fire()
    nodes.arrive()
    nodes.target.say(NodeChanged({}, None, (nodes.leave(),)))
    nodes.target.until(lambda status: bool(status.adopted))

    nodes.target.say(NodeChanged({}, None, ()))

    assert nodes.target.until(lambda status: not status.adopted).firing != ()


def test_a_rule_that_waits_for_its_time_goes_on_waiting_over_there(nodes: Nodes) -> None:
    nodes.target.judge_by(policy(SLOW))
    nodes.fire(SLOW)
    handover = nodes.leave()
    assert handover.move.state.warning_since is not None

    nodes.arrive()
    nodes.target.say(NodeChanged({}, None, (handover,)))

    assert nodes.target.until(lambda status: status.counts.pending == 1).transitions == ()


def test_an_agent_that_was_down_while_its_vm_left_hands_its_alerts_over_all_the_same(nodes: Nodes) -> None:
    nodes.fire()
    nodes.source.restart()

    nodes.source.say(IdentitiesChanged(()), Vanished(UUID, 0.0, "lost"))

    status = nodes.source.until(lambda status: Action.HANDED_OVER in actions(status))
    assert status.transitions[-1].move is not None
    assert status.transitions[-1].move.to == "n2"


def test_a_vm_that_left_while_its_agent_was_down_is_not_taken_for_stopped(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtwatch_agent.core.inventory._GRACE", 1.0)
    nodes.source.judge_by(policy(FAILED, STOPPED))
    nodes.source.say(IdentitiesChanged((identity("pod-a"),)), Appeared(domain("pod-a"), 0.0)).hear("vm.io_error")
    nodes.source.until(lambda status: bool(status.firing))
    nodes.source.say(IdentitiesChanged((identity("pod-a", to="n2"),)))
    nodes.source.restart()

    nodes.source.judge_by(policy(FAILED, STOPPED)).say(IdentitiesChanged(()))

    status = nodes.source.until(lambda status: not status.firing)
    assert actions(status) == [Action.FIRED, Action.HANDED_OVER]


@pytest.mark.parametrize("reason", ["lost", "migrated"])
def test_a_stop_that_nobody_saw_is_a_migration_where_the_vm_lives_on(nodes: Nodes, reason: str) -> None:
    nodes.source.judge_by(policy(FAILED, STOPPED))
    nodes.source.say(IdentitiesChanged((identity("pod-a"),)), Appeared(domain("pod-a"), 0.0)).hear("vm.io_error")
    nodes.source.say(IdentitiesChanged((identity("pod-a", to="n2"),)), IdentitiesChanged(()))

    nodes.source.hear("vm.stopped", reason=reason).say(Vanished(UUID, 0.0, reason))

    status = nodes.source.until(lambda status: Action.HANDED_OVER in actions(status))
    assert actions(status) == [Action.FIRED, Action.HANDED_OVER]


def lose(nodes: Nodes) -> KubernetesIdentity:
    """Let the source lose its VM in a migration, with an alert on an event; return what the API says of the VM."""
    nodes.source.judge_by(policy(FAILED, STOPPED))
    nodes.source.say(IdentitiesChanged((identity("pod-a"),)), Appeared(domain("pod-a"), 0.0)).hear("vm.io_error")
    nodes.source.until(lambda status: bool(status.firing))
    migrates = replace(identity("pod-a", to="n2"), migrating="migration-1")
    nodes.source.say(IdentitiesChanged((migrates,)))
    nodes.source.hear("vm.stopped", reason="lost").say(Vanished(UUID, time.time(), "lost"))
    waiting = nodes.source.until(lambda status: status.virtual_machines == 0)
    assert actions(waiting) == [Action.FIRED]
    return migrates


GONE_ON = [
    pytest.param({}, id="it left this node's VMIs"),
    pytest.param({"migrating": ""}, id="the migration is over, and its label is not changed yet"),
    pytest.param({"migrating": "", "pod_uids": ()}, id="and its pod has ended"),
]


@pytest.mark.parametrize("changes", GONE_ON)
def test_a_vm_lost_while_it_migrates_has_gone_on_if_the_api_says_so(nodes: Nodes, changes: dict) -> None:
    """Its connection closed before the stop was read."""
    migrates = lose(nodes)

    nodes.source.say(IdentitiesChanged((replace(migrates, **changes),) if changes else ()))

    status = nodes.source.until(lambda status: not status.firing)
    assert actions(status) == [Action.FIRED, Action.HANDED_OVER]
    assert "vm.migration_completed" in nodes.source.outside.received


@pytest.mark.parametrize("pods", [("pod-a",), ()])
def test_a_vm_lost_while_it_migrates_stopped_if_that_failed(nodes: Nodes, pods: tuple[str, ...]) -> None:
    failed = replace(lose(nodes), migrating="", migration_target="", migration_failed="aborted", pod_uids=pods)

    nodes.source.say(IdentitiesChanged((failed,)))

    status = nodes.source.until(lambda status: "stopped" in [item.alert.rule for item in status.firing])
    assert actions(status) == [Action.FIRED, Action.RESOLVED, Action.FIRED]


def test_a_vm_lost_in_a_migration_that_does_not_end_stopped(nodes: Nodes) -> None:
    lose(nodes)
    nodes.source.clock.passed += inventory._PLACED_WITHIN_S

    status = nodes.source.until(lambda status: "stopped" in [item.alert.rule for item in status.firing])

    assert actions(status) == [Action.FIRED, Action.RESOLVED, Action.FIRED]


def test_a_vm_lost_while_it_migrates_and_found_again_stopped(nodes: Nodes) -> None:
    lose(nodes)

    nodes.source.say(Appeared(replace(domain("pod-a"), incarnation="again"), time.time(), "booted", started=True))

    status = nodes.source.until(lambda status: "stopped" in [item.alert.rule for item in status.firing])
    assert status.virtual_machines == 1
    assert actions(status) == [Action.FIRED, Action.RESOLVED, Action.FIRED]


def test_a_vm_that_restarts_unseen_while_it_migrates_stopped(nodes: Nodes) -> None:
    """The tracker finds another QEMU: the VM stopped and started, but was never gone: what fires on samples stays."""
    nodes.source.judge_by(policy(BUSY, STOPPED))
    migrates = replace(identity("pod-a", to="n2"), migrating="migration-1")
    nodes.source.say(IdentitiesChanged((migrates,)), Appeared(domain("pod-a"), 0.0)).see(150)
    nodes.source.until(lambda status: bool(status.firing))

    nodes.source.hear("vm.stopped", reason="lost")
    nodes.source.say(Appeared(replace(domain("pod-a"), incarnation="again"), time.time(), "booted", started=True))

    status = nodes.source.until(lambda status: len(status.firing) == 2)
    assert actions(status) == [Action.FIRED, Action.FIRED]


def test_a_vm_that_stops_before_the_api_names_its_node_stopped(nodes: Nodes) -> None:
    """KubeVirt names the new node a moment after the VM runs there; by that its agent learns whose VM it is."""
    nodes.target.judge_by(policy(STOPPED))
    arriving = replace(domain("pod-b"), state=DomainState.PAUSED)
    nodes.target.say(Appeared(arriving, time.time(), "migration", started=True)).hear("vm.started", reason="migrated")
    nodes.target.say(Appeared(domain("pod-b"), time.time(), "migrated")).hear("vm.resumed", reason="migrated")
    nodes.target.hear("vm.stopped", reason="destroyed").say(Vanished(UUID, time.time(), "destroyed"))
    nodes.target.until(lambda status: status.virtual_machines == 0 and judging(status))

    nodes.target.say(IdentitiesChanged((identity("pod-b"),)))

    (fired,) = nodes.target.until(lambda status: bool(status.transitions)).transitions
    assert (fired.alert.rule, str(fired.subject)) == ("stopped", "shop/db-1")


@pytest.mark.parametrize("rule", [BUSY, FAILED])
def test_a_vm_takes_its_alert_along_once_the_api_says_where_to(nodes: Nodes, rule: dict) -> None:
    nodes.source.judge_by(policy(rule))
    nodes.source.say(IdentitiesChanged((identity("pod-a"),)), Appeared(domain("pod-a"), 0.0))
    nodes.source.hear("vm.io_error").see(150)
    before = nodes.source.until(lambda status: bool(status.firing)).firing[0]
    nodes.source.hear("vm.stopped", reason="migrated").say(Vanished(UUID, time.time(), "migrated"))
    waiting = nodes.source.until(lambda status: status.virtual_machines == 0)
    assert actions(waiting) == [Action.FIRED]
    assert [item.alert for item in waiting.firing] == [before.alert]

    nodes.source.say(IdentitiesChanged((identity("pod-a", to="n2"),)), IdentitiesChanged(()))

    sent = nodes.source.until(lambda status: not status.firing).transitions[-1]
    assert (sent.action, sent.alert, round(sent.since, 6)) == (Action.HANDED_OVER, before.alert, round(before.since, 6))
    assert sent.move is not None
    assert sent.move.to == "n2"


def test_an_alert_ends_if_the_api_never_says_where_its_vm_went(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtwatch_agent.core.inventory._PLACED_WITHIN_S", 1.0)
    nodes.fire(to="")
    nodes.source.say(Vanished(UUID, time.time(), "migrated"))

    status = nodes.source.until(lambda status: not status.firing)

    assert status.transitions[-1].reason is Reason.DOMAIN_STOPPED


def test_a_restart_before_the_api_says_where_to_loses_no_alert(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtwatch_agent.core.inventory._GRACE", 1.0)
    nodes.fire(to="")
    nodes.source.say(Vanished(UUID, time.time(), "migrated"))
    nodes.source.until(lambda status: status.virtual_machines == 0)
    nodes.source.restart()

    # In one turn: a busy machine may take longer than that between two.
    known = ThresholdsChanged((policy(BUSY),))
    nodes.source.core.deliver(known, IdentitiesChanged((identity("pod-a", to="n2"),)), IdentitiesChanged(()))

    assert actions(nodes.source.until(lambda status: not status.firing)) == [Action.FIRED, Action.HANDED_OVER]


def test_a_vm_that_is_back_before_the_api_says_where_it_went_is_judged(nodes: Nodes) -> None:
    nodes.fire(to="")
    back = replace(domain("pod-a"), incarnation="again")
    nodes.source.say(Vanished(UUID, time.time(), "migrated"), Appeared(back, time.time()))
    nodes.source.say(IdentitiesChanged((identity("pod-a", to="n2"),)))
    nodes.source.until_ticked()
    nodes.source.say(Sample(vm_ref(UUID), Source.KERNEL, "again", *[time.time()] * 2, time.monotonic(), RSS))

    status = nodes.source.until(lambda status: bool(status.firing) and status.sequence == 3)

    assert actions(status) == [Action.FIRED, Action.RESOLVED, Action.FIRED]


def test_an_alert_that_comes_after_its_vm_has_gone_on_follows_it(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtwatch_agent.core.inventory._GRACE", 1.0)
    before = nodes.fire().firing[0]
    nodes.arrive()
    nodes.target.say(IdentitiesChanged((identity("pod-b", to="n3"),)), Vanished(UUID, 0.0, "migrated"))
    nodes.target.until(lambda status: status.virtual_machines == 0 and judging(status))

    nodes.target.say(IdentitiesChanged(()), NodeChanged({}, None, (nodes.leave(),)))

    (sent,) = nodes.target.until(lambda status: bool(status.transitions)).transitions
    assert (sent.action, sent.alert, round(sent.since, 6)) == (Action.HANDED_OVER, before.alert, round(before.since, 6))
    assert sent.move is not None
    assert sent.move.to == "n3"


def test_a_vm_that_shuts_down_after_a_failed_migration_takes_its_alert_nowhere(nodes: Nodes) -> None:
    nodes.fire()
    nodes.source.say(Vanished(UUID, 0.0, "shutdown"))

    status = nodes.source.until(lambda status: not status.firing)

    assert status.transitions[-1].reason is Reason.DOMAIN_STOPPED


LOOP = {
    "name": "loop",
    "severity": "Critical",
    "pattern": {"count": {"type": "vm.crashed", "atLeast": 3}, "within": "10m"},
}
ODD = {"name": "odd", "severity": "Warning", "anomaly": {"signals": ["vm.memory.rss"]}}


def handed_over(nodes: Nodes, count: int) -> list[Handover]:
    """Let the VM leave; return what the operator hands over, as the API server would give it back."""
    nodes.source.say(Vanished(UUID, 0.0, "migrated"))
    status = nodes.source.until(
        lambda status: [item.action for item in status.transitions].count(Action.HANDED_OVER) == count
    )
    sent = [item for item in status.transitions if item.move is not None]
    return [decode_handover(encode_handover(Handover(status.epoch, item, item.move))) for item in sent if item.move]


def run_on_source(nodes: Nodes, *rules: dict) -> None:
    nodes.source.judge_by(policy(*rules))
    nodes.target.judge_by(policy(*rules))
    nodes.source.say(IdentitiesChanged((identity("pod-a"),)), Appeared(domain("pod-a"), 0.0))
    nodes.source.until(lambda status: any(item.virtual_machines for item in status.applied))
    nodes.source.say(IdentitiesChanged((identity("pod-a", to="n2"),)))


def test_the_events_that_a_pattern_waits_for_go_along(nodes: Nodes) -> None:
    run_on_source(nodes, LOOP)
    nodes.source.hear("vm.crashed", reason="panicked").hear("vm.crashed", reason="panicked")
    sent = handed_over(nodes, 1)

    nodes.arrive()
    nodes.target.say(NodeChanged({}, None, tuple(sent)))
    nodes.target.until(lambda status: bool(status.adopted))
    nodes.target.hear("vm.crashed", reason="panicked")
    status = nodes.target.until(lambda status: bool(status.firing))

    assert (status.firing[0].alert.rule, status.firing[0].evidence.count) == ("loop", 3)
    assert [item.action for item in status.transitions] == [Action.FIRED]


def test_what_an_anomaly_rule_has_learned_goes_along_and_is_on_disk_there(nodes: Nodes) -> None:
    run_on_source(nodes, ODD)
    nodes.source.see(100.0)
    sent = handed_over(nodes, 1)
    taught = sent[0].move.memory["learned"]
    assert [series[:2] for series in taught["series"]] == [["vm.memory.rss", ""]]
    assert len(encode_handover(sent[0])["move"]["memory"]) < 4096

    nodes.target.say(NodeChanged({}, None, tuple(sent)))
    nodes.arrive()
    nodes.target.until(lambda status: any(item.virtual_machines for item in status.applied))

    end = time.monotonic() + 30.0
    while learned(nodes.target.folder, "odd").get("series") != taught["series"]:
        assert time.monotonic() < end
        time.sleep(0.1)
