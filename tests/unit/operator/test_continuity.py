# An alert that goes along with its VM from node n1 to node n2 is one alert: told once, ended once, never lost.
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.operator.builders import AT, TRACEPARENT, VMI, firing, status, transition
from virtwatch_api.alert import Action, AlertState, Reason
from virtwatch_api.nodemonitor import Acknowledged, Adopted, Handover, Move, NodeMonitor
from virtwatch_api.nodemonitor_codec import decode_handover, encode_handover, encode_status
from virtwatch_api.policy import Severity
from virtwatch_kube.errors import Conflict, NotFound, Unavailable
from virtwatch_operator.announce.continuity import Continuity
from virtwatch_operator.fleet import Fleet

CRITICAL = AlertState(Severity.CRITICAL, AT - 120, critical_since=AT - 120)
MOVE = Move("n2", CRITICAL, TRACEPARENT)
MOVED = replace(
    transition(7, Action.HANDED_OVER, reason=Reason.MIGRATED, previous=Severity.CRITICAL), since=AT - 120, move=MOVE
)
HANDOVER = Handover("e1", MOVED, MOVE)
THERE = replace(VMI, node="n2")
FIRED = transition(3, subject=THERE)
STOPPED = transition(8, Action.RESOLVED, reason=Reason.DOMAIN_STOPPED, severity=None, previous=Severity.CRITICAL)


class ApiServer:
    """Holds the NodeMonitor n2; every write moves its resourceVersion, and `meddle` may write in between."""

    def __init__(self, meddle=0, exists=True):
        self.handovers, self.version, self.meddle, self.exists = [], 1, meddle, exists

    def get(self, path):
        if not self.exists:
            raise NotFound("no such NodeMonitor", status=404)
        read = {
            "metadata": {"name": "n2", "uid": "u2", "resourceVersion": str(self.version)},
            "spec": {"handovers": list(self.handovers)},
        }
        if self.meddle:
            self.meddle, self.version = self.meddle - 1, self.version + 1
        return read

    def apply(self, path, body, *, manager):
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict("the object has been modified", status=409)
        self.version += 1
        self.handovers = body["spec"]["handovers"]

    def held(self):
        return [decode_handover(item) for item in self.handovers]


class World:
    def __init__(self, *, elsewhere=None, **api):
        self.api = ApiServer(**api)
        self.source = NodeMonitor("n1", "u1", status(MOVED), None, {})
        self.continuity = Continuity(
            client=self.api, held_elsewhere=lambda alert, node: elsewhere, monitor_of=lambda node: self.source
        )

    def tell(self, item, *, source=None):
        return self.continuity.to_tell(source or self.source, item)


def target(*handovers, adopted=()):
    return NodeMonitor("n2", "u2", replace(status(), adopted=adopted), None, {}, handovers)


def test_an_alert_is_handed_to_the_node_of_its_vm_and_nothing_is_told():
    world = World()
    assert world.tell(MOVED) is None
    assert world.api.held() == [HANDOVER]


def test_one_that_is_handed_over_again_after_a_crash_is_there_once():
    world = World()
    world.tell(MOVED)
    world.tell(MOVED)
    assert world.api.held() == [HANDOVER]


def test_those_who_write_at_the_same_time_do_not_undo_each_other():
    world = World(meddle=2)
    assert world.tell(MOVED) is None
    assert world.api.held() == [HANDOVER]


def test_what_cannot_be_written_is_tried_again_later():
    with pytest.raises(Conflict):
        World(meddle=99).tell(MOVED)


def test_a_node_without_an_agent_ends_the_alert():
    said = World(exists=False).tell(MOVED)
    assert (said.action, said.severity, said.previous) == (Action.RESOLVED, None, Severity.CRITICAL)
    assert said.reason is Reason.MIGRATED


def test_an_alert_that_was_only_pending_ends_there_without_a_word():
    pending = replace(MOVED, severity=None, previous=None)
    assert World(exists=False).tell(pending) is None


def test_an_alert_that_the_other_node_still_holds_is_not_said_again():
    assert World(elsewhere=Severity.CRITICAL).tell(FIRED) is None
    assert World(elsewhere=Severity.WARNING).tell(FIRED) == FIRED  # it is worse now
    assert World().tell(FIRED) == FIRED


def test_an_alert_whose_vm_left_is_not_over_while_another_node_holds_it():
    assert World(elsewhere=Severity.WARNING).tell(STOPPED) is None
    assert World().tell(STOPPED) == STOPPED
    recovered = replace(STOPPED, reason=Reason.RECOVERED)
    assert World(elsewhere=Severity.WARNING).tell(recovered) == recovered


@pytest.mark.parametrize(("adopted", "told"), [(None, False), (3, False), (2, True)])
def test_what_a_node_found_before_it_took_the_alert_over_is_not_said_again(adopted, told):
    taken = () if adopted is None else (Adopted(HANDOVER.id, adopted),)
    said = World().tell(FIRED, source=target(HANDOVER, adopted=taken))
    assert (said == FIRED) is told


def test_a_handover_is_kept_until_it_is_taken_and_its_source_will_not_send_it_again():
    world = World()
    world.tell(MOVED)
    taken = target(HANDOVER, adopted=(Adopted(HANDOVER.id, 0),))

    world.continuity.settle(target(HANDOVER))
    world.continuity.settle(taken)
    assert world.api.held() == [HANDOVER]

    world.source = replace(world.source, acknowledged=Acknowledged("e1", 7))
    world.continuity.settle(taken)
    assert world.api.held() == []


def test_a_source_that_is_gone_sends_nothing_again():
    world = World()
    world.tell(MOVED)
    world.source = None
    world.continuity.settle(target(HANDOVER, adopted=(Adopted(HANDOVER.id, 0),)))
    assert world.api.held() == []


def fleet():
    return Fleet(waiting=lambda node: None, reported=lambda policy: None, presence_changed=lambda: None)


def document(node, **parts):
    return {
        "metadata": {"name": node, "uid": f"u-{node}"},
        "status": encode_status(status(*parts.get("transitions", ()), firing=parts.get("firing", ()))),
    }


def test_the_fleet_knows_which_other_nodes_hold_an_alert():
    known = fleet()
    firing_there = document("n1", firing=(firing(severity=Severity.WARNING),))
    known.on_change(None, firing_there)
    assert known.held_elsewhere(FIRED.alert.id, "n2") is Severity.WARNING
    assert known.held_elsewhere(FIRED.alert.id, "n1") is None

    leaving = document("n1", transitions=(MOVED,))
    known.on_change(firing_there, leaving)
    assert known.held_elsewhere(FIRED.alert.id, "n2") is Severity.CRITICAL

    known.on_change(leaving, None)
    assert known.held_elsewhere(FIRED.alert.id, "n2") is None


@given(st.lists(st.tuples(st.sampled_from(["n1", "n2", "n3"]), st.sampled_from([None, *Severity])), max_size=12))
def test_whatever_nodes_report_the_fleet_holds_what_they_said_last(reports):
    known, last = fleet(), {}
    for node, severity in reports:
        now = document(node, firing=(firing(severity=severity),) if severity else ())
        known.on_change(None, now)
        last[node] = severity
    for node in ("n1", "n2", "n3"):
        others = [item for other, item in last.items() if other != node and item is not None]
        worst = max(others, key=lambda item: item.rank, default=None)
        assert known.held_elsewhere(FIRED.alert.id, node) is worst


def test_what_cannot_be_read_of_the_target_is_tried_again(monkeypatch):
    world = World()
    monkeypatch.setattr(world.api, "get", lambda path: (_ for _ in ()).throw(Unavailable("down")))
    with pytest.raises(Unavailable):
        world.tell(MOVED)


def test_a_node_that_took_a_handover_is_looked_at_again_when_its_source_is_acknowledged():
    waiting = []
    known = Fleet(waiting=waiting.append, reported=lambda policy: None, presence_changed=lambda: None)
    source = document("n1", transitions=(MOVED,))
    known.on_change(None, source)
    taken = replace(status(), adopted=(Adopted(HANDOVER.id, 0),))
    known.on_change(
        None,
        {
            "metadata": {"name": "n2"},
            "spec": {"handovers": [encode_handover(HANDOVER)]},
            "status": encode_status(taken),
        },
    )
    waiting.clear()

    known.on_change(source, source)
    assert waiting == ["n1"]
    waiting.clear()

    known.on_change(source, {**source, "spec": {"acknowledged": {"epoch": "e1", "sequence": 7}}})
    assert waiting == ["n2"]
