"""A node that falls silent is one alert for each policy, names what is unknown, and ends when it reports again."""

from dataclasses import replace

import pytest

from tests.unit.operator.builders import AT, POLICY, TRUSTING, VMI, applied, facts, firing, status, transition
from virtwatch_api.alert import Action, AlertState
from virtwatch_api.nodemonitor import Handover, Move
from virtwatch_api.nodemonitor_codec import encode_handover, encode_status
from virtwatch_api.policy import Enforcement, Severity
from virtwatch_api.targets import vm_ref
from virtwatch_operator.announce.sinks import Origin
from virtwatch_operator.events.bodies import NOTE_BYTES
from virtwatch_operator.events.silent_bodies import silent_announcements
from virtwatch_operator.fleet import SILENT_AFTER_S, Fleet
from virtwatch_operator.nodes.agents import AgentPods
from virtwatch_operator.nodes.silent import NODE_SILENT, SilentNodes
from virtwatch_operator.policies import InForce, PolicyBook


class World:
    """One node with an agent, whose clock is `now`."""

    def __init__(self, *alerts, enforcement=Enforcement.ENFORCE, vms=2):
        self.now, self.known, self.handed = AT, True, []
        self.pods = AgentPods(lambda node: None, clock=lambda: self.now)
        self.fleet = Fleet(
            trust=TRUSTING,
            waiting=lambda node: None,
            reported=lambda key: None,
            presence_changed=lambda: None,
            down=self.pods.down,
            clock=lambda: self.now,
        )
        self.book = PolicyBook()
        self.book.put(facts(in_force=InForce("h1", 3, enforcement)))
        self.alerts, self.vms = alerts, vms
        self.pod(ready=True)
        self.report()
        self.silent = SilentNodes(
            fleet=self.fleet,
            pods=self.pods,
            book=self.book,
            known=lambda: self.known,
            hand=self.handed.extend,
            instance="operator-0",
            clock=lambda: self.now,
            wall_clock=lambda: self.now,
        )

    def pod(self, *, ready):
        body = {
            "metadata": {"name": "agent-n1"},
            "spec": {"nodeName": "n1"},
            "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
        }
        self.pods.on_change(None, body)

    def report(self, *handed):
        document = {
            "metadata": {"name": "n1", "uid": "u1", "resourceVersion": "1"},
            "spec": {"handovers": [encode_handover(item) for item in handed]},
            "status": encode_status(status(firing=self.alerts, applied=(applied(vms=self.vms),))),
        }
        document["status"]["agent"]["reported"] = self.now
        self.fleet.on_change(None, document)

    def wait(self, seconds, *, every=2):
        end = self.now + seconds
        while self.now < end:
            self.now += every
            self.silent.look()

    @property
    def told(self):
        return [item.news.transition for item in self.handed]


def test_a_node_whose_agents_pod_hangs_is_told_within_30_s_once():
    world = World(firing(), firing(replace(VMI, name="web-2", target=vm_ref("u2")), Severity.WARNING))
    world.pod(ready=False)  # the kubelet has needed 15 s for that
    world.wait(14)
    (told,) = world.told
    assert (told.alert.rule, told.severity, told.subject.node) == (NODE_SILENT, Severity.CRITICAL, "n1")
    assert told.evidence.text == (
        "pod agent-n1 is not ready, so what this node reports may be old: kubectl describe pod agent-n1. Nobody "
        "watches 2 VMs of this policy there; unknown whether they still fire: VM shop/web-1 (cpu-starved), "
        "VM shop/web-2 (cpu-starved)"
    )
    world.wait(600)
    assert len(world.told) == 1


def test_names_stay_as_they_are_where_a_sentence_begins_with_what_is_unknown():
    world = World(firing(replace(VMI, name="Win10")), vms=0)
    world.pod(ready=False)
    world.wait(14)
    (told,) = world.told
    assert told.evidence.text.endswith(". Unknown whether they still fire: VM shop/Win10 (cpu-starved)")


def test_what_waits_for_a_silent_node_is_unknown_too():
    world = World(vms=0)
    state = AlertState(Severity.CRITICAL, AT, critical_since=AT)
    moved = transition(7, Action.HANDED_OVER, subject=replace(VMI, node="n0"))
    world.report(Handover("e0", replace(moved, move=Move("n1", state)), Move("n1", state)))
    world.pod(ready=False)
    world.wait(14)
    (told,) = world.told
    assert told.severity is Severity.CRITICAL
    assert told.evidence.text.endswith(". Unknown whether they still fire: VM shop/web-1 (cpu-starved)")


def test_it_ends_when_the_node_reports_again():
    world = World()
    world.pod(ready=False)
    world.wait(20)
    assert world.told[0].severity is Severity.WARNING
    world.pod(ready=True)
    world.wait(4)
    assert [item.action for item in world.told] == [Action.FIRED, Action.RESOLVED]


def test_a_pod_that_is_not_ready_for_a_moment_is_no_news():
    world = World()
    world.pod(ready=False)
    world.wait(8)
    world.pod(ready=True)
    world.wait(60)
    assert world.told == []


def test_agents_that_come_back_after_an_absence_of_the_api_server_are_no_news():
    world = World()
    world.known = False
    world.wait(2 * SILENT_AFTER_S, every=60)
    world.known = True
    world.wait(16)
    world.report()
    world.wait(60)
    assert world.told == []


@pytest.mark.parametrize("enforcement", [Enforcement.OBSERVE, Enforcement.SUSPENDED])
def test_a_policy_that_alerts_nobody_says_nothing(enforcement):
    world = World(enforcement=enforcement)
    world.pod(ready=False)
    world.wait(60)
    assert world.told == []


def test_all_leaders_and_policies_give_the_event_on_the_node_one_name():
    world = World(firing())
    world.pod(ready=False)
    world.wait(20)
    [item] = world.handed
    other = replace(item.news.transition, alert=replace(item.news.transition.alert, policy=replace(POLICY, name="b")))
    origin = Origin("n1", "silent", "uid", "operator-1")
    node, policy = silent_announcements(item.news.transition, item.news.origin)
    again, others = silent_announcements(replace(other, at=AT + 99), origin)
    assert node.name == again.name
    assert policy.name != others.name
    assert "related" not in node.body
    assert node.body["note"].startswith("Node n1 is silent since 2026-")
    assert policy.body["reason"] == "NodeSilent"


def test_many_alerts_are_named_up_to_ten():
    world = World(*(firing(replace(VMI, name=f"{'x' * 200}-{n}", target=vm_ref(f"u{n}"))) for n in range(16)))
    world.pod(ready=False)
    world.wait(20)
    [item] = world.handed
    assert item.news.transition.evidence.text.endswith(" and 6 more")
    *_, policy = silent_announcements(item.news.transition, item.news.origin)
    assert len(policy.body["note"].encode()) <= NOTE_BYTES
