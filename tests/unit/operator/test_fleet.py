from dataclasses import replace

import pytest

from tests.unit.operator.builders import AT, POLICY, TRUSTING, VMI, applied, firing, status, transition
from virtwatch_api.alert import Action, AlertState
from virtwatch_api.nodemonitor import Counts, Handover, Move
from virtwatch_api.nodemonitor_codec import encode_handover, encode_status, format_time
from virtwatch_api.policy import Severity
from virtwatch_operator.fleet import SILENT_AFTER_S, Fleet
from virtwatch_operator.nodes.machines import VirtualMachines
from virtwatch_operator.nodes.trust import Trust


class Heard:
    def __init__(self):
        self.now = AT
        self.waiting, self.reported, self.presence_changes = [], [], 0
        self.fleet = Fleet(
            trust=TRUSTING,
            down=lambda node: False,
            waiting=self.waiting.append,
            reported=self.reported.append,
            presence_changed=self._presence,
            clock=lambda: self.now,
        )

    def _presence(self):
        self.presence_changes += 1


@pytest.fixture
def received():
    return Heard()


def document(status_, *, node="n1", written=AT):
    note = {"manager": "agent", "subresource": "status", "time": format_time(written)[:19] + "Z"}
    return {
        "metadata": {"name": node, "uid": f"uid-{node}", "managedFields": [note]},
        **({"status": encode_status(status_)} if status_ else {}),
    }


def test_a_node_with_transitions_waits_and_its_policies_are_rolled_up(received):
    received.fleet.on_change(None, document(status(transition(), firing=(firing(),), applied=(applied(),))))
    assert received.waiting == ["n1"]
    assert received.reported == [POLICY]
    report = received.fleet.reports(POLICY)["n1"]
    assert report.applied == applied()
    assert report.firing == (firing(),)


def test_a_policy_is_rolled_up_only_when_a_node_says_something_new_of_it(received):
    old = document(status(applied=(applied(),)))
    received.fleet.on_change(None, old)
    received.fleet.on_change(old, document(status(transition(), applied=(applied(),))))
    assert received.reported == [POLICY]
    received.fleet.on_change(old, document(status(applied=(applied(counts=Counts(1)),))))
    assert received.reported == [POLICY, POLICY]


def test_what_fires_for_a_while_is_found_but_for_silent_nodes(received):
    received.fleet.on_change(None, document(status(firing=(firing(),))))
    since = firing().since
    assert list(received.fleet.firing(POLICY, begun_by=since - 1)) == []
    assert list(received.fleet.firing(POLICY, begun_by=since)) == [firing()]
    received.now += SILENT_AFTER_S + 1
    assert list(received.fleet.firing(POLICY, begun_by=since)) == []


def test_a_node_that_is_gone_reports_no_more(received):
    old = document(status(applied=(applied(),)))
    received.fleet.on_change(None, old)
    received.fleet.on_change(old, None)
    assert received.fleet.reports(POLICY) == {}
    assert not received.fleet.known("n1")
    assert received.fleet.presence.reporting == frozenset()
    assert received.reported == [POLICY, POLICY]


def test_a_node_falls_silent_without_a_sound_and_comes_back(received):
    old = document(status())
    received.fleet.on_change(None, old)
    received.fleet.on_change(None, document(None, node="never-spoke"))
    received.fleet.notice_presence()
    assert received.fleet.presence.reporting == {"n1"}
    received.now += SILENT_AFTER_S + 5
    received.fleet.notice_presence()
    received.fleet.notice_presence()
    assert received.fleet.presence.silent == {"n1"}
    assert received.presence_changes == 2
    received.fleet.on_change(old, document(status(), written=received.now))
    assert received.fleet.presence.reporting == {"n1"}


def test_who_looked_a_moment_ago_hides_no_silence(received):
    received.fleet.on_change(None, document(status()))
    received.fleet.notice_presence()
    received.now += SILENT_AFTER_S - 1
    assert received.fleet.presence.reporting == {"n1"}
    received.now += 1.5
    received.fleet.notice_presence()
    assert received.fleet.presence.silent == {"n1"}


def test_what_one_node_says_in_a_foreign_version_harms_nobody(received, caplog):
    received.fleet.on_change(None, document(status(applied=(applied(),)), node="good"))
    strange = document(status(transition()), node="strange")
    strange["status"]["transitions"][0]["action"] = "Exploded"
    received.fleet.on_change(None, strange)
    received.fleet.on_change(strange, strange)
    assert received.waiting == []
    assert received.fleet.monitor("strange") is None
    assert received.fleet.known("strange")
    assert received.fleet.presence.reporting == {"good"}
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "NodeMonitor strange cannot be read, so it is skipped"
    ]


@pytest.mark.parametrize(("node", "counted"), [("n2", True), ("n3", False)])
def test_what_waits_for_a_node_counts_while_its_vm_is_there(node, counted):
    """Which other node the VM was on, a leader that came later does not know."""
    machines = VirtualMachines(client=None, moved=lambda node: None)
    labels = {"kubevirt.io/nodeName": node}
    machines.on_change(
        None, {"metadata": {"namespace": VMI.namespace, "name": VMI.name, "uid": VMI.uid, "labels": labels}}
    )
    fleet = Fleet(
        trust=Trust(machines, exists=lambda key: True, judges=lambda policy, rule: False),
        down=lambda node: False,
        waiting=lambda node: None,
        reported=lambda policy: None,
        presence_changed=lambda: None,
        clock=lambda: AT,
    )
    move = Move("n2", AlertState(Severity.CRITICAL, AT, critical_since=AT))
    waiting = Handover("e1", replace(transition(7, Action.HANDED_OVER), move=move), move)
    fleet.on_change(None, {**document(status(), node="n2"), "spec": {"handovers": [encode_handover(waiting)]}})

    assert [item.subject.node for item in fleet.reports(POLICY)["n2"].moving] == ["n2"] * counted
